package dev.lockstep.graph;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Traces a [Graph]: each call adds a node and returns its results. Single-threaded.
public final class GraphBuilder {
  private final String name;
  private final List<Graph.Named> inputs = new ArrayList<>();
  private final List<Node> nodes = new ArrayList<>();
  private final List<Graph.Named> outputs = new ArrayList<>();
  private final Map<String, String> aliases = new LinkedHashMap<>();
  private int nextId;

  /// Starts an empty graph.
  public GraphBuilder(String name) {
    this.name = name;
  }

  /// Adds a named input.
  public Value input(String inputName, ValueType type) {
    requireUnused(inputs, inputName, "input");
    Value value = new Value(nextId++, type);
    inputs.add(new Graph.Named(inputName, value));
    return value;
  }

  /// Adds a node and returns its results.
  ///
  /// @throws IllegalArgumentException if the operands do not fit the op; the message names the op
  ///   and the types
  public List<Value> apply(Op op, List<Value> operands) {
    List<Value> results = new ArrayList<>();
    for (ValueType type : ShapeInference.infer(op, operands.stream().map(Value::type).toList())) {
      results.add(new Value(nextId++, type));
    }
    nodes.add(new Node(op, operands, results));
    return List.copyOf(results);
  }

  /// Adds a node of an op with one result and returns that.
  public Value one(Op op, Value... operands) {
    List<Value> results = apply(op, List.of(operands));
    if (results.size() != 1) {
      throw new IllegalArgumentException(
          "op has several results: op=" + op.label() + ", results=" + results.size());
    }
    return results.getFirst();
  }

  /// Names a result of the graph.
  public void output(String outputName, Value value) {
    requireUnused(outputs, outputName, "output");
    outputs.add(new Graph.Named(outputName, value));
  }

  /// Names a result that takes the memory of an input of the same type.
  public void outputInto(String outputName, Value value, String inputName) {
    Graph.Named target =
        inputs.stream()
            .filter(input -> input.name().equals(inputName))
            .findFirst()
            .orElseThrow(() -> new IllegalArgumentException("no such input: input=" + inputName));
    if (!target.value().type().equals(value.type())) {
      throw new IllegalArgumentException(
          "aliased output differs from its input: output="
              + outputName
              + " "
              + value.type()
              + ", input="
              + inputName
              + " "
              + target.value().type());
    }
    output(outputName, value);
    aliases.put(outputName, inputName);
  }

  /// Returns the graph so far.
  public Graph build() {
    return new Graph(name, inputs, nodes, outputs, aliases, nextId);
  }

  private static void requireUnused(List<Graph.Named> among, String name, String kind) {
    for (Graph.Named named : among) {
      if (named.name().equals(name)) {
        throw new IllegalArgumentException("name is taken: " + kind + "=" + name);
      }
    }
  }
}
