package dev.lockstep.train.placement;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Brings collectives along an inner dimension to the form that links run: each rank's part lies
/// side by side in memory. What is moved for that is moved by ops around them; where all dimensions
/// before are 1 nothing is.
///
/// Collectives that follow one another and do not read each other's results stay side by side. Ops
/// that no output depends on are left out.
public final class InnerCollectives {
  private final Graph graph;
  private final GraphBuilder out;
  private final Map<Value, Value> mapped = new HashMap<>();
  private final List<Node> waiting = new ArrayList<>();

  private InnerCollectives(Graph graph) {
    this.graph = graph;
    this.out = new GraphBuilder(graph.name());
  }

  /// Returns the program with collectives along the first dimension, or along one before which all
  /// are 1.
  ///
  /// @param graph without aliases
  public static Graph lower(Graph graph) {
    return new InnerCollectives(graph).lowered();
  }

  private Graph lowered() {
    graph
        .inputs()
        .forEach(input -> mapped.put(input.value(), out.input(input.name(), input.value().type())));
    Set<Node> live = live();
    for (Node node : graph.nodes()) {
      if (!live.contains(node)) {
        continue;
      }
      boolean reads =
          waiting.stream().anyMatch(w -> node.inputs().contains(w.outputs().getFirst()));
      if (reads || !isCollective(node)) {
        run();
      }
      if (isCollective(node)) {
        waiting.add(node);
      } else {
        give(node, out.apply(node.op(), node.inputs().stream().map(this::known).toList()));
      }
    }
    run();
    graph.outputs().forEach(output -> out.output(output.name(), known(output.value())));
    return out.build();
  }

  private static boolean isCollective(Node node) {
    return node.op() instanceof Primitive primitive && primitive.isCollective();
  }

  private Set<Node> live() {
    Set<Value> read = new HashSet<>();
    graph.outputs().forEach(output -> read.add(output.value()));
    Set<Node> live = new HashSet<>();
    for (Node node : graph.nodes().reversed()) {
      if (node.outputs().stream().anyMatch(read::contains)) {
        live.add(node);
        read.addAll(node.inputs());
      }
    }
    return live;
  }

  private Value known(Value value) {
    Value found = mapped.get(value);
    if (found == null) {
      throw new IllegalStateException("value is read before it is made: " + value);
    }
    return found;
  }

  private void give(Node node, List<Value> results) {
    for (int i = 0; i < results.size(); i++) {
      mapped.put(node.outputs().get(i), results.get(i));
    }
  }

  /// A collective whose operands are ready.
  private record Ready(Node node, Primitive op, List<Value> operands, Moves moves) {}

  /// How the split dimension is seen: `[before, ranks, inner, after]`.
  private record Moves(long before, long ranks, long inner, long after) {
    static final Moves NONE = new Moves(1, 1, 1, 1);

    static Moves of(Shape whole, int dim, int ranks) {
      long before = 1;
      for (int i = 0; i < dim; i++) {
        before *= whole.dim(i);
      }
      long inner = whole.dim(dim) / ranks;
      return new Moves(before, ranks, inner, whole.elements() / (before * ranks * inner));
    }

    boolean isNone() {
      return before == 1;
    }

    Shape byRank() {
      return Shape.of(ranks, before, inner, after);
    }

    Shape byPlace() {
      return Shape.of(before, ranks, inner, after);
    }
  }

  private void run() {
    List<Ready> ready = waiting.stream().map(this::ready).toList();
    waiting.clear();
    List<Value> results = new ArrayList<>();
    ready.forEach(each -> results.add(out.apply(each.op, each.operands).getFirst()));
    for (int i = 0; i < ready.size(); i++) {
      give(ready.get(i).node, List.of(finished(ready.get(i), results.get(i))));
    }
  }

  private Ready ready(Node node) {
    List<Value> operands = node.inputs().stream().map(this::known).toList();
    return switch (node.op()) {
      case Primitive.ReduceScatter(var axis, var op, var lanes, int dim) -> {
        Moves moves = Moves.of(operands.getFirst().type().shape(), dim, lanes.ranks().size());
        yield moves.isNone()
            ? new Ready(node, (Primitive) node.op(), operands, Moves.NONE)
            : new Ready(
                node,
                new Primitive.ReduceScatter(axis, op, lanes, 0),
                operands.stream().map(operand -> apart(operand, moves)).toList(),
                moves);
      }
      case Primitive.AllGather(var axis, int ranks, int dim) -> {
        Moves moves = Moves.of(node.outputs().getFirst().type().shape(), dim, ranks);
        yield moves.isNone()
            ? new Ready(node, (Primitive) node.op(), operands, Moves.NONE)
            : new Ready(
                node,
                new Primitive.AllGather(axis, ranks, 0),
                List.of(
                    reshaped(
                        operands.getFirst(), Shape.of(1, moves.before, moves.inner, moves.after))),
                moves);
      }
      case Primitive other -> new Ready(node, other, operands, Moves.NONE);
      case Composite other -> throw new IllegalStateException("talks to nobody: op=" + other);
    };
  }

  private Value reshaped(Value value, Shape to) {
    return value.type().shape().equals(to) ? value : out.one(new Primitive.Reshape(to), value);
  }

  /// The ranks' parts one after another.
  private Value apart(Value whole, Moves moves) {
    Value places = reshaped(whole, moves.byPlace());
    return out.one(new Primitive.Transpose(List.of(1, 0, 2, 3)), places);
  }

  private Value finished(Ready ready, Value result) {
    Shape wanted = ready.node.outputs().getFirst().type().shape();
    boolean isGathered = ready.node.op() instanceof Primitive.AllGather && !ready.moves.isNone();
    Value sorted =
        isGathered
            ? out.one(
                new Primitive.Transpose(List.of(1, 0, 2, 3)),
                reshaped(result, ready.moves.byRank()))
            : result;
    return reshaped(sorted, wanted);
  }
}
