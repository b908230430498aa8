package dev.lockstep.graph;

import java.util.List;
import java.util.Map;

/// A program of a device: SSA nodes in execution order. Immutable; made by [GraphBuilder].
///
/// @param name what is computed, for messages
/// @param inputs named inputs, in order
/// @param nodes ops in an order that respects data flow
/// @param outputs named results, in order
/// @param aliases output name → input name whose memory it takes: state updated in place
///   (parameters, moments, accumulators)
/// @param valueCount number of values, ids `0 … valueCount - 1`
public record Graph(
    String name,
    List<Named> inputs,
    List<Node> nodes,
    List<Named> outputs,
    Map<String, String> aliases,
    int valueCount) {
  /// A value with the name by which it is bound.
  ///
  /// @param name unique among the inputs, or among the outputs
  /// @param value the value
  public record Named(String name, Value value) {}

  /// Copies the collections.
  public Graph {
    inputs = List.copyOf(inputs);
    nodes = List.copyOf(nodes);
    outputs = List.copyOf(outputs);
    aliases = Map.copyOf(aliases);
  }

  /// Returns the input called `name`.
  ///
  /// @throws IllegalArgumentException if there is none
  public Value input(String name) {
    return find(inputs, name, "input");
  }

  /// Returns the output called `name`.
  ///
  /// @throws IllegalArgumentException if there is none
  public Value output(String name) {
    return find(outputs, name, "output");
  }

  private Value find(List<Named> among, String wanted, String kind) {
    for (Named named : among) {
      if (named.name().equals(wanted)) {
        return named.value();
      }
    }
    throw new IllegalArgumentException(
        "graph has no such " + kind + ": graph=" + name + ", " + kind + "=" + wanted);
  }
}
