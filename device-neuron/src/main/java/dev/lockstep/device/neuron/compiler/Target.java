package dev.lockstep.device.neuron.compiler;

import dev.lockstep.device.Support;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ShapeInference;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/// A generation of Trainium, as `neuronx-cc --target` names it.
public enum Target {
  /// First generation.
  TRN1,
  /// Second generation.
  TRN2,
  /// Third generation.
  TRN3;

  /// Returns the name that the compiler and users write.
  public String label() {
    return name().toLowerCase(Locale.ROOT);
  }

  /// Returns the target that is called so.
  public static Optional<Target> of(String label) {
    return Arrays.stream(values()).filter(target -> target.label().equals(label)).findFirst();
  }

  /// Returns all names.
  public static List<String> labels() {
    return Arrays.stream(values()).map(Target::label).toList();
  }

  /// Returns whether programs may hold values of this type. The compilers of Trn1 and Trn2 refuse
  /// the finite-only E4M3 (EVRF051); 64-bit numbers are slow or narrowed, so none are taken.
  public Support accepts(DType dtype) {
    return switch (dtype) {
      case F32, BF16, F16, F8_E5M2, F8_E4M3, I32, I16, I8, U8, BOOL -> new Support.Yes();
      case F8_E4M3FN ->
          this == TRN3
              ? new Support.Yes()
              : new Support.No(
                  "%s has no finite-only E4M3: dtype=%s (convert to F8_E4M3)"
                      .formatted(label(), dtype));
      case F64, I64 ->
          new Support.No(
              "Neuron devices have no 64-bit numbers: dtype=%s (convert to F32 or I32)"
                  .formatted(dtype));
    };
  }

  /// Returns whether programs may hold an op on operands of these types.
  public Support supports(Primitive op, List<ValueType> operands) {
    for (ValueType operand : operands) {
      if (accepts(operand.dtype()) instanceof Support.No no) {
        return no;
      }
    }
    DType result = ShapeInference.infer(op, operands).getFirst().dtype();
    if (op instanceof Primitive.ScatterAdd && result.isInteger()) {
      return new Support.No(
          "scattered integers are added in float32, which rounds them: dtype=%s (scatter F32)"
              .formatted(result));
    }
    return accepts(result);
  }

  /// Checks every op and value of a graph of primitives.
  ///
  /// @throws IllegalArgumentException if the target has not one; the sentence names the op
  public void check(Graph graph) {
    for (Graph.Named input : graph.inputs()) {
      if (accepts(input.value().type().dtype()) instanceof Support.No(String reason)) {
        throw refusal(reason, graph, "input " + input.name());
      }
    }
    for (Node node : graph.nodes()) {
      switch (node.op()) {
        case Primitive op -> {
          List<ValueType> operands = node.inputs().stream().map(Value::type).toList();
          if (supports(op, operands) instanceof Support.No(String reason)) {
            throw refusal(reason, graph, "op=" + op.label());
          }
        }
        case Composite op ->
            throw new IllegalArgumentException("op was not decomposed: op=" + op.label());
      }
    }
  }

  private static IllegalArgumentException refusal(String reason, Graph graph, String where) {
    return new IllegalArgumentException("%s (graph=%s, %s)".formatted(reason, graph.name(), where));
  }
}
