package dev.lockstep.train.placement;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Traces the program of one rank and types every value with its [Placement]. Single-threaded.
final class PlacedBuilder {
  private final GraphBuilder builder;
  private final AxisPlace axis;
  private final PlacementRules rules;
  private final Map<Value, Placement> placements = new HashMap<>();
  private final Map<Value, Placement> declared = new HashMap<>();
  private final Map<String, Placement> outputs = new HashMap<>();

  PlacedBuilder(String name, AxisPlace axis) {
    this.builder = new GraphBuilder(name);
    this.axis = axis;
    this.rules = new PlacementRules(axis);
  }

  AxisPlace axis() {
    return axis;
  }

  Placement placement(Value value) {
    Placement placement = placements.get(value);
    if (placement == null) {
      throw new IllegalStateException("value was not made here: " + value);
    }
    return placement;
  }

  Value input(String name, ValueType local, Placement placement) {
    Value value = builder.input(name, local);
    place(value, placement);
    declared.put(value, placement);
    return value;
  }

  /// Adds a node.
  ///
  /// @throws IllegalArgumentException if the operands' placements do not fit; the sentence names
  ///   the op and the placements
  List<Value> apply(Op op, List<Value> operands) {
    List<Placement> found =
        rules.infer(op, operands, operands.stream().map(this::placement).toList());
    List<Value> results = builder.apply(op, operands);
    for (int i = 0; i < results.size(); i++) {
      place(results.get(i), found.get(i));
    }
    return results;
  }

  Value one(Op op, Value... operands) {
    return apply(op, List.of(operands)).getFirst();
  }

  /// Adds a constant that counts as placed so: a part of a constant is a constant.
  Value constant(ValueType local, double value, Placement placement) {
    return declare(builder.one(new Primitive.Constant(local, value)), placement);
  }

  /// Says how the ranks' own numbers in `value` lie.
  Value declare(Value value, Placement placement) {
    place(value, placement);
    declared.put(value, placement);
    return value;
  }

  private void place(Value value, Placement placement) {
    placements.put(value, placement);
  }

  void output(String name, Value value) {
    builder.output(name, value);
    outputs.put(name, placement(value));
  }

  PlacedGraph build() {
    Graph graph = builder.build();
    return new PlacedGraph(graph, axis, declared, outputs);
  }
}
