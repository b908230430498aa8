package dev.lockstep.train.placement;

import static java.util.Objects.requireNonNull;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.Value;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Variants of a program of which one collective is wrong. Results keep their types, as nobody has
/// looked at the ops yet: [#built] does.
public final class CollectiveMutants {
  private CollectiveMutants() {}

  /// A program with one wrong collective.
  ///
  /// @param what which collective, and what is wrong with it
  /// @param wrong what is wrong with it
  public record Mutant(String what, String wrong, Graph graph) {}

  /// Returns whether ranks meet in a node.
  public static boolean isCollective(Node node) {
    return node.op() instanceof Primitive primitive && primitive.isCollective();
  }

  /// Returns the indices of the collectives that an output depends on, ascending.
  public static List<Integer> live(Graph graph) {
    Set<Value> read = new HashSet<>();
    graph.outputs().forEach(output -> read.add(output.value()));
    List<Integer> live = new ArrayList<>();
    for (int i = graph.nodes().size() - 1; i >= 0; i--) {
      Node node = graph.nodes().get(i);
      if (node.outputs().stream().anyMatch(read::contains)) {
        read.addAll(node.inputs());
        if (isCollective(node)) {
          live.addFirst(i);
        }
      }
    }
    return live;
  }

  /// Returns the axis along which ranks meet in a collective.
  public static String axis(Node node) {
    return switch ((Primitive) node.op()) {
      case Primitive.AllReduce(String axis, var _, var _) -> axis;
      case Primitive.ReduceScatter(String axis, var _, var _, int _) -> axis;
      case Primitive.AllGather(String axis, int _, int _) -> axis;
      case Primitive op -> throw new IllegalArgumentException("no collective: op=" + op);
    };
  }

  /// Returns a program without a collective, with it twice, and with it on other axes.
  ///
  /// @param index of the node
  /// @param axes the other axes are those of these that it is not on
  public static List<Mutant> misplaced(Graph graph, int index, List<String> axes) {
    Node node = graph.nodes().get(index);
    Value result = node.outputs().getFirst();
    Value again = new Value(graph.valueCount(), result.type());
    Node second = new Node(node.op(), List.of(result), List.of(again));
    List<Mutant> mutants = new ArrayList<>();
    Value operand = node.inputs().getFirst();
    mutants.add(mutant(node, index, "dropped", rewired(graph, index, operand, List.of())));
    List<Node> both = List.of(node, second);
    mutants.add(mutant(node, index, "doubled", rewired(graph, index, again, both)));
    for (String axis : axes) {
      Primitive moved = on(axis, (Primitive) node.op());
      if (!moved.equals(node.op())) {
        mutants.add(mutant(node, index, "on " + axis, replaced(graph, index, moved)));
      }
    }
    return mutants;
  }

  /// Returns a program with a collective that joins otherwise: by another op, over other leaves or
  /// along another dimension.
  ///
  /// @param index of the node
  public static List<Mutant> misjoined(Graph graph, int index) {
    Node node = graph.nodes().get(index);
    return joinedOtherwise((Primitive) node.op()).stream()
        .map(op -> mutant(node, index, "as " + op, replaced(graph, index, op)))
        .toList();
  }

  private static Mutant mutant(Node node, int index, String wrong, Graph graph) {
    return new Mutant("node %d, %s, %s".formatted(index, node.op(), wrong), wrong, graph);
  }

  private static Primitive on(String other, Primitive collective) {
    return switch (collective) {
      case Primitive.AllReduce(String _, var op, var lanes) ->
          new Primitive.AllReduce(other, op, lanes);
      case Primitive.ReduceScatter(String _, var op, var lanes, int dim) ->
          new Primitive.ReduceScatter(other, op, lanes, dim);
      case Primitive.AllGather(String _, int ranks, int dim) ->
          new Primitive.AllGather(other, ranks, dim);
      case Primitive op -> throw new IllegalArgumentException("no collective: op=" + op);
    };
  }

  private static List<Primitive> joinedOtherwise(Primitive collective) {
    return switch (collective) {
      case Primitive.AllReduce(var axis, var op, var lanes) ->
          List.of(
              new Primitive.AllReduce(axis, other(op), lanes),
              new Primitive.AllReduce(axis, op, more(lanes)));
      case Primitive.ReduceScatter(var axis, var op, var lanes, int dim) ->
          List.of(
              new Primitive.ReduceScatter(axis, other(op), lanes, dim),
              new Primitive.ReduceScatter(axis, op, more(lanes), dim),
              new Primitive.ReduceScatter(axis, op, lanes, dim + 1));
      case Primitive.AllGather(var axis, int ranks, int dim) ->
          List.of(new Primitive.AllGather(axis, ranks, dim + 1));
      case Primitive op -> throw new IllegalArgumentException("no collective: op=" + op);
    };
  }

  private static ReduceOp other(ReduceOp op) {
    return op instanceof ReduceOp.Max ? new ReduceOp.Sum() : new ReduceOp.Max();
  }

  private static LaneSplit more(LaneSplit lanes) {
    return LaneSplit.contiguous(lanes.lanes() * 2, 2);
  }

  private static Graph replaced(Graph graph, int index, Primitive wrong) {
    Node node = graph.nodes().get(index);
    Node instead = new Node(wrong, node.inputs(), node.outputs());
    return rewired(graph, index, node.outputs().getFirst(), List.of(instead));
  }

  /// The graph with other nodes in place of node `index`; who read its result reads `now`.
  private static Graph rewired(Graph graph, int index, Value now, List<Node> instead) {
    Value old = graph.nodes().get(index).outputs().getFirst();
    List<Node> nodes = new ArrayList<>(graph.nodes().subList(0, index));
    nodes.addAll(instead);
    for (Node node : graph.nodes().subList(index + 1, graph.nodes().size())) {
      List<Value> inputs = node.inputs().stream().map(v -> v.equals(old) ? now : v).toList();
      nodes.add(new Node(node.op(), inputs, node.outputs()));
    }
    List<Graph.Named> outputs =
        graph.outputs().stream()
            .map(out -> out.value().equals(old) ? new Graph.Named(out.name(), now) : out)
            .toList();
    return new Graph(
        graph.name(), graph.inputs(), nodes, outputs, graph.aliases(), graph.valueCount() + 1);
  }

  /// Returns a program of which every op has been looked at: each value has the type that its op
  /// gives it.
  ///
  /// @throws IllegalArgumentException if operands do not fit an op, or a value has another type
  public static Graph built(Graph graph) {
    GraphBuilder builder = new GraphBuilder(graph.name());
    Map<Value, Value> known = new HashMap<>();
    for (Graph.Named input : graph.inputs()) {
      known.put(input.value(), builder.input(input.name(), input.value().type()));
    }
    for (Node node : graph.nodes()) {
      List<Value> results =
          builder.apply(node.op(), node.inputs().stream().map(known::get).toList());
      for (int i = 0; i < results.size(); i++) {
        requireType(node.outputs().get(i), results.get(i));
        known.put(node.outputs().get(i), results.get(i));
      }
    }
    for (Graph.Named output : graph.outputs()) {
      Value value = requireNonNull(known.get(output.value()));
      requireType(output.value(), value);
      String into = graph.aliases().get(output.name());
      if (into == null) {
        builder.output(output.name(), value);
      } else {
        builder.outputInto(output.name(), value, into);
      }
    }
    return builder.build();
  }

  private static void requireType(Value value, Value found) {
    if (!found.type().equals(value.type())) {
      throw new IllegalArgumentException(
          "value has another type: value=%s, found=%s".formatted(value, found.type()));
    }
  }
}
