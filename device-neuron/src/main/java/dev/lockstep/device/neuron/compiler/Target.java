package dev.lockstep.device.neuron.compiler;

import dev.lockstep.device.Support;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Value;
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

  /// Checks every value of a graph.
  ///
  /// @throws IllegalArgumentException if one is of a type that the target has not; the sentence
  ///   names the op
  public void check(Graph graph) {
    for (Graph.Named input : graph.inputs()) {
      check(graph, "input " + input.name(), input.value());
    }
    for (Node node : graph.nodes()) {
      node.outputs().forEach(value -> check(graph, "op=" + node.op().label(), value));
    }
  }

  private void check(Graph graph, String where, Value value) {
    if (accepts(value.type().dtype()) instanceof Support.No(String reason)) {
      throw new IllegalArgumentException(
          "%s (graph=%s, %s)".formatted(reason, graph.name(), where));
    }
  }
}
