package dev.lockstep.train.nn;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;

/// A graph in the making together with the parameters that it uses, in program order.
/// Single-threaded.
public final class ModelTrace {
  private final GraphBuilder builder;
  private final List<ParameterUse> uses = new ArrayList<>();
  private final List<Value> values = new ArrayList<>();
  private final Map<Value, Blocks> columns = new HashMap<>();
  private final Set<Value> recomputed = new HashSet<>();

  /// Starts a trace.
  ///
  /// @param name what the graph computes
  public ModelTrace(String name) {
    this.builder = new GraphBuilder(name);
  }

  /// Returns the builder of the graph.
  public GraphBuilder builder() {
    return builder;
  }

  /// Adds a parameter under its own name.
  public Value parameter(Parameter parameter) {
    return use(parameter.name(), parameter);
  }

  /// Adds one more use of a parameter, as the input `name@role`.
  public Value parameter(Parameter parameter, String role) {
    return use(parameter.name() + "@" + role, parameter);
  }

  private Value use(String inputName, Parameter parameter) {
    Value value = builder.input(inputName, new ValueType(DType.F32, parameter.shape()));
    uses.add(new ParameterUse(inputName, parameter));
    values.add(value);
    return value;
  }

  /// Adds a node of one result.
  public Value one(Op op, Value... operands) {
    return builder.one(op, operands);
  }

  /// Adds a node of several results.
  public List<Value> all(Op op, Value... operands) {
    return builder.apply(op, List.of(operands));
  }

  /// Notes how tensor parallelism may split the columns of a product with `weight`, and so the sum
  /// that is the gradient of the product's input.
  public void splitColumns(Value weight, Blocks blocks) {
    columns.put(weight, blocks);
  }

  /// Returns for the weights whose columns may be split how; what is missing has one block.
  public Map<Value, Blocks> columns() {
    return Map.copyOf(columns);
  }

  /// Adds what `part` adds, to be computed again on the way back: its values but the returned one
  /// are not kept.
  public Value recomputed(Supplier<Value> part) {
    int before = builder.build().nodes().size();
    Value result = part.get();
    List<Node> nodes = builder.build().nodes();
    for (Node node : nodes.subList(before, nodes.size())) {
      recomputed.addAll(node.outputs());
    }
    recomputed.remove(result);
    return result;
  }

  /// Returns the values that are computed again on the way back.
  public Set<Value> recomputedValues() {
    return Set.copyOf(recomputed);
  }

  /// Returns the uses so far, in program order.
  public List<ParameterUse> uses() {
    return List.copyOf(uses);
  }

  /// Returns the inputs of [#uses].
  public List<Value> useValues() {
    return List.copyOf(values);
  }
}
