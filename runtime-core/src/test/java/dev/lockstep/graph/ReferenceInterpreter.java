package dev.lockstep.graph;

import dev.lockstep.tensor.Shape;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Runs graphs in float64, slowly and plainly: what devices and gradients are checked against.
///
/// Every value is an array of doubles in row-major order; truth values are 0 and 1. Nothing is
/// rounded save by `Convert` to a type narrower than F32. Composites are computed from their
/// definition, not from their decomposition. Collectives are those of a single rank.
public final class ReferenceInterpreter {
  private ReferenceInterpreter() {}

  /// Runs a graph and returns its outputs in order.
  ///
  /// @param inputs the elements of every input by name; not changed
  public static List<double[]> run(Graph graph, Map<String, double[]> inputs) {
    Map<Integer, double[]> values = new HashMap<>();
    for (Graph.Named input : graph.inputs()) {
      double[] elements = inputs.get(input.name());
      if (elements == null || elements.length != input.value().type().shape().elements()) {
        throw new IllegalArgumentException(
            "input is missing or has another size: graph=" + graph.name() + ", input=" + input);
      }
      values.put(input.value().id(), elements);
    }
    for (Node node : graph.nodes()) {
      List<double[]> operands = node.inputs().stream().map(v -> values.get(v.id())).toList();
      List<ValueType> types = node.inputs().stream().map(Value::type).toList();
      List<double[]> results = run(node.op(), operands, types);
      for (int i = 0; i < results.size(); i++) {
        values.put(node.outputs().get(i).id(), results.get(i));
      }
    }
    return graph.outputs().stream().map(output -> values.get(output.value().id())).toList();
  }

  /// Runs one op on operands of these types and returns its results.
  public static List<double[]> run(Op op, List<double[]> operands, List<ValueType> types) {
    List<ValueType> results = ShapeInference.infer(op, types);
    return switch (op) {
      case Primitive primitive ->
          List.of(new ReferencePrimitives(operands, types, results.getFirst()).run(primitive));
      case Composite composite -> new ReferenceComposites(operands, types).run(composite);
    };
  }

  /// The number of elements, which a Java array must hold.
  static int size(Shape shape) {
    return Math.toIntExact(shape.elements());
  }
}
