package dev.lockstep.train.autodiff;

import dev.lockstep.graph.Node;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import java.util.List;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.UnaryOperator;

/// One node on the way back: the gradients of its results, and those found for its operands.
final class NodeGradients {
  private final Node node;
  private final UnaryOperator<Value> kept;
  private final List<Optional<Value>> results;
  private final Set<Value> active;
  private final NavigableMap<Integer, Value> given = new TreeMap<>();

  /// @param kept where a forward value is to be read: itself, or what it is computed again as
  NodeGradients(
      Node node, List<Optional<Value>> results, Set<Value> active, UnaryOperator<Value> kept) {
    this.node = node;
    this.kept = kept;
    this.results = results;
    this.active = active;
  }

  Op op() {
    return node.op();
  }

  List<Value> operands() {
    return node.inputs().stream().map(kept).toList();
  }

  Value operand(int index) {
    return kept.apply(node.inputs().get(index));
  }

  /// The operand as the forward pass had it, for what was noted about it.
  Value forward(int index) {
    return node.inputs().get(index);
  }

  Shape shape(int operand) {
    return node.inputs().get(operand).type().shape();
  }

  Value result(int index) {
    return kept.apply(node.outputs().get(index));
  }

  /// The gradient of result `index`, if the loss depends on it.
  Optional<Value> gradient(int index) {
    return results.get(index);
  }

  /// The gradient of the only result.
  Value gradient() {
    return results.getFirst().orElseThrow();
  }

  /// Whether anyone asks for the gradient of this operand.
  boolean needs(int operand) {
    return active.contains(node.inputs().get(operand));
  }

  /// Notes the gradient of an operand.
  void give(int operand, Value gradient) {
    given.put(operand, gradient);
  }

  /// What was found, by operand.
  NavigableMap<Integer, Value> given() {
    return given;
  }
}
