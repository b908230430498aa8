package dev.lockstep.train.autodiff;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.Constant;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/// Reverse-mode differentiation of a traced graph: the gradient's ops are appended to the same
/// builder.
///
/// A value that is used several times adds its uses in program order. Gradients flow through values
/// that depend on what is asked for, and through no others. Sums are cut as [GradientBlocks] says.
public final class Differentiator {
  private final GraphBuilder builder;
  private final GradientBlocks blocks;

  private final WayBack way;
  private final Map<Value, Node> makers = new HashMap<>();
  private final Map<Value, Value> again = new HashMap<>();

  Differentiator(GraphBuilder builder, GradientBlocks blocks, WayBack way) {
    this.builder = builder;
    this.blocks = blocks;
    this.way = way;
  }

  /// Appends the gradient of `loss` to the builder.
  ///
  /// @param loss what is differentiated, of any shape
  /// @param seed the gradient of the final scalar in `loss`, of the same type: a constant 1 where
  ///   `loss` is that scalar, what came from the next stage where `loss` is an activation
  /// @param wrt inputs of the graph; a tied weight is one input per use, so that each use's
  ///   gradient is a value of its own
  /// @return for each of `wrt`, by the input's name and in that order, its gradient; a constant 0
  ///   where `loss` does not depend on it
  /// @throws IllegalArgumentException if the seed has another type, if one of `wrt` is no input, or
  ///   if the way leads through a collective
  public static Map<String, Value> gradients(
      GraphBuilder builder, Value loss, Value seed, List<Value> wrt, GradientBlocks blocks) {
    Graph graph = builder.build();
    Map<String, Value> named = new LinkedHashMap<>();
    wrt.forEach(value -> named.put(nameOf(graph, value), value));
    return gradients(builder, Map.of(loss, seed), named, blocks, WayBack.PLAIN);
  }

  /// Appends the gradient of a sum of values to the builder, as [#gradients(GraphBuilder, Value,
  /// Value, List, GradientBlocks)]. What is computed again need not be kept; the bits are the same.
  ///
  /// @param seeds what is differentiated, and for each the gradient of the final scalar in it, of
  ///   the same type
  /// @param wrt inputs or results of nodes, by the names that their gradients get
  /// @param way what is computed again and what is rounded
  public static Map<String, Value> gradients(
      GraphBuilder builder,
      Map<Value, Value> seeds,
      Map<String, Value> wrt,
      GradientBlocks blocks,
      WayBack way) {
    seeds.forEach(
        (loss, seed) -> {
          if (!seed.type().equals(loss.type())) {
            throw new IllegalArgumentException(
                "seed differs from the loss in type: seed=" + seed + ", loss=" + loss);
          }
        });
    Graph graph = builder.build();
    Differentiator differentiator = new Differentiator(builder, blocks, way);
    for (Node node : graph.nodes()) {
      node.outputs().forEach(value -> differentiator.makers.put(value, node));
    }
    Map<Value, Value> found =
        differentiator.backward(graph.nodes(), seeds, Set.copyOf(wrt.values()));
    Map<String, Value> gradients = new LinkedHashMap<>();
    wrt.forEach(
        (name, value) -> {
          Value gradient = found.get(value);
          gradients.put(
              name, gradient == null ? builder.one(new Constant(value.type(), 0)) : gradient);
        });
    return Collections.unmodifiableMap(gradients);
  }

  private static String nameOf(Graph graph, Value input) {
    return graph.inputs().stream()
        .filter(named -> named.value().equals(input))
        .map(Graph.Named::name)
        .findFirst()
        .orElseThrow(
            () ->
                new IllegalArgumentException(
                    "gradient is asked for a value that is no input: graph="
                        + graph.name()
                        + ", value="
                        + input));
  }

  /// Walks `nodes` backwards from `seeds` and returns the gradients of those `wrt` that any
  /// reaches.
  Map<Value, Value> backward(List<Node> nodes, Map<Value, Value> seeds, Collection<Value> wrt) {
    Set<Value> active = dependents(nodes, wrt);
    Map<Value, Deque<Value>> uses = new HashMap<>();
    seeds.forEach((value, seed) -> uses.put(value, new ArrayDeque<>(List.of(seed))));
    for (Node node : nodes.reversed()) {
      if (node.inputs().stream().noneMatch(active::contains)) {
        continue;
      }
      List<Optional<Value>> results = node.outputs().stream().map(v -> gradient(uses, v)).toList();
      if (results.stream().allMatch(Optional::isEmpty)) {
        continue;
      }
      NodeGradients gradients = new NodeGradients(node, results, active, this::kept);
      differentiate(gradients);
      // Later operands first: every use goes to the front, so that uses end up in program order.
      gradients
          .given()
          .descendingMap()
          .forEach(
              (operand, gradient) ->
                  uses.computeIfAbsent(node.inputs().get(operand), _ -> new ArrayDeque<>())
                      .addFirst(gradient));
    }
    Map<Value, Value> found = new HashMap<>();
    wrt.forEach(value -> sum(uses, value).ifPresent(gradient -> found.put(value, gradient)));
    return found;
  }

  /// Where the way back reads a forward value: in itself, or in what it is computed again as, from
  /// here on in the program.
  private Value kept(Value value) {
    Node maker = makers.get(value);
    if (maker == null || !way.recomputed().contains(value)) {
      return value;
    }
    if (!again.containsKey(value)) {
      List<Value> operands = maker.inputs().stream().map(this::kept).toList();
      List<Value> results = builder.apply(maker.op(), operands);
      for (int i = 0; i < results.size(); i++) {
        again.put(maker.outputs().get(i), results.get(i));
      }
    }
    return again.getOrDefault(value, value);
  }

  private void differentiate(NodeGradients gradients) {
    switch (gradients.op()) {
      case Primitive primitive ->
          new PrimitiveGradients(builder, blocks, gradients).differentiate(primitive);
      case Composite composite ->
          new CompositeGradients(builder, blocks, gradients, this).differentiate(composite);
    }
  }

  /// `wrt` and every value that depends on one of them.
  private static Set<Value> dependents(List<Node> nodes, Collection<Value> wrt) {
    Set<Value> active = new HashSet<>(wrt);
    for (Node node : nodes) {
      if (node.inputs().stream().anyMatch(active::contains)) {
        active.addAll(node.outputs());
      }
    }
    return active;
  }

  /// Returns the gradient that flows on from `value`.
  private Optional<Value> gradient(Map<Value, Deque<Value>> uses, Value value) {
    Optional<Value> gradient = sum(uses, value);
    return way.rounded().contains(value)
        ? gradient.map(
            exact ->
                builder.one(
                    new Primitive.Convert(DType.F32),
                    builder.one(new Primitive.Convert(DType.BF16), exact)))
        : gradient;
  }

  /// Adds up the uses of `value` and keeps the sum as its only use.
  private Optional<Value> sum(Map<Value, Deque<Value>> uses, Value value) {
    Deque<Value> gradients = uses.get(value);
    if (gradients == null) {
      return Optional.empty();
    }
    Value sum = gradients.removeFirst();
    while (!gradients.isEmpty()) {
      sum = builder.one(new Add(), sum, gradients.removeFirst());
    }
    gradients.add(sum);
    return Optional.of(sum);
  }
}
