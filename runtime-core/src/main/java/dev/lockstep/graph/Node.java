package dev.lockstep.graph;

import java.util.List;

/// One application of an op.
///
/// @param op what is computed
/// @param inputs operands, in the op's order
/// @param outputs results, in the op's order
public record Node(Op op, List<Value> inputs, List<Value> outputs) {
  /// Copies the lists.
  public Node {
    inputs = List.copyOf(inputs);
    outputs = List.copyOf(outputs);
  }
}
