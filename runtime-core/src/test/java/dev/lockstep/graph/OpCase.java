package dev.lockstep.graph;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/// One op on given operands.
///
/// @param op what is computed
/// @param types types of the operands
/// @param operands their elements, each one representable in its type
public record OpCase(Op op, List<ValueType> types, List<double[]> operands) {
  /// Returns the graph of the op alone: inputs and outputs are called `0`, `1`, …
  public Graph graph() {
    GraphBuilder builder = new GraphBuilder(op.label());
    List<Value> inputs = new ArrayList<>();
    types.forEach(type -> inputs.add(builder.input("in" + inputs.size(), type)));
    List<Value> results = builder.apply(op, inputs);
    IntStream.range(0, results.size()).forEach(i -> builder.output("out" + i, results.get(i)));
    return builder.build();
  }

  /// Returns the operands by the names of [#graph]'s inputs.
  public Map<String, double[]> inputs() {
    Map<String, double[]> inputs = new LinkedHashMap<>();
    operands.forEach(operand -> inputs.put("in" + inputs.size(), operand));
    return inputs;
  }

  /// Returns the results in float64.
  public List<double[]> expected() {
    return ReferenceInterpreter.run(op, operands, types);
  }

  /// Returns the op and its operands' types.
  @Override
  public String toString() {
    return op + " of " + types;
  }
}
