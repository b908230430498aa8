package dev.lockstep.train.placement;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.placement.Placement.Replicate;
import dev.lockstep.train.placement.Placement.Shard;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// Lays a program that was written for one device out over the ranks of a mesh axis.
///
/// Where the inputs lie is given; ops follow their operands: a product with a weight whose columns
/// are split gives split columns, one with split rows gives terms of a sum, and what reads a sum
/// makes its terms one by an all-reduce first, or by a reduce-scatter where it has a row per token
/// and those are spread ([TokenSplit]). A stack of products of which one operand's matrices are
/// dealt out takes as many of the other's. Whatever no rule of [PlacementRules] fits is given whole
/// operands. Sums are cut as the ops' [Blocks] say and joined by their tree, so that the result has
/// the bits of the program of one device.
public final class AxisLayout {
  private final Graph graph;
  private final PlacedBuilder out;
  private final AxisPlace axis;
  private final PlacementRules rules;
  private final PartMoves moves;
  private final VocabularySplit vocabulary;
  private final TokenAttention attention;
  private final Optional<TokenSplit> tokens;
  private final PlacedValues values;
  private final Map<Value, Shard> wantedRows = new HashMap<>();
  private final Map<Value, Shard> cuts = new HashMap<>(); // of inputs that were not read yet

  private AxisLayout(Graph graph, AxisPlace axis, Optional<TokenSplit> tokens) {
    this.graph = graph;
    this.axis = axis;
    this.tokens = tokens;
    this.rules = new PlacementRules(axis);
    this.out = new PlacedBuilder(graph.name(), axis);
    this.moves = new PartMoves(out);
    this.vocabulary = new VocabularySplit(out, moves);
    this.attention = new TokenAttention(out, moves);
    this.values = new PlacedValues(graph, out, moves, tokens);
  }

  /// Lays a graph out.
  ///
  /// @param graph without aliases
  /// @throws IllegalArgumentException if an input cannot be split so
  public static PlacedGraph lay(Graph graph, AxisPlace axis, AxisWishes wishes) {
    return new AxisLayout(graph, axis, wishes.tokens()).lay(wishes);
  }

  private PlacedGraph lay(AxisWishes wishes) {
    for (Graph.Named input : graph.inputs()) {
      Placement placement = wishes.inputs().getOrDefault(input.name(), Placement.replicate());
      values.put(input.value(), input(input, placement));
      Shard cut = wishes.cut().get(input.name());
      if (cut != null) {
        requireDivides(input, cut);
        cuts.put(input.value(), cut);
      }
    }
    for (Graph.Named output : graph.outputs()) {
      if (!wishes.asTheyLie().contains(output.name())) {
        want(output.value(), wishes.outputs().getOrDefault(output.name(), Placement.replicate()));
      }
    }
    Optional<Value> end = tokens.map(split -> graph.output(split.end()));
    for (Node node : graph.nodes()) {
      node.inputs().forEach(this::cut);
      visit(node);
      values.noteUnsettled(node);
      if (end.isPresent() && node.outputs().contains(end.get())) {
        values.settle();
        values.forgetGathered();
      }
    }
    values.settle();
    for (Graph.Named output : graph.outputs()) {
      out.output(output.name(), values.output(output.value()));
    }
    return out.build();
  }

  private Value input(Graph.Named input, Placement placement) {
    ValueType type = input.value().type();
    requireDivides(input, placement);
    ValueType part = new ValueType(type.dtype(), placement.localShape(type.shape(), axis.ranks()));
    return out.input(input.name(), part, placement);
  }

  /// Takes the rank's part of an input where it is first read: a stage of a pipeline does that for
  /// itself.
  private void cut(Value input) {
    Shard shard = cuts.remove(input);
    if (shard != null) {
      values.put(input, moves.part(values.term(input), shard));
    }
  }

  private void requireDivides(Graph.Named input, Placement placement) {
    if (placement instanceof Shard(int dim, Blocks blocks)) {
      long extent = input.value().type().shape().dim(dim);
      if (extent % (blocks.outer() * blocks.count()) != 0 || blocks.count() % axis.ranks() != 0) {
        throw new IllegalArgumentException(
            "ranks do not hold whole blocks: axis=%s, ranks=%d, input=%s, extent=%d, blocks=%dx%d"
                .formatted(
                    axis.name(),
                    axis.ranks(),
                    input.name(),
                    extent,
                    blocks.outer(),
                    blocks.count()));
      }
    }
  }

  /// Notes how an output is wanted, and rows of a table also behind what other axes add up.
  private void want(Value value, Placement placement) {
    values.want(value, placement);
    if (placement instanceof Shard shard && shard.dim() == 0 && shard.blocks().outer() == 1) {
      wantedRows.put(value, shard);
      values
          .maker(value)
          .filter(maker -> maker.op() instanceof Primitive.AllReduce)
          .ifPresent(maker -> maker.inputs().forEach(term -> wantedRows.put(term, shard)));
    }
  }

  private void visit(Node node) {
    List<Value> in = node.inputs();
    switch (node.op()) {
      case Primitive.Constant constant -> values.putConstant(node.outputs().getFirst(), constant);
      case Composite.Linear linear -> linear(node, linear);
      case Primitive.MatMul product when stack(node).isPresent() ->
          stacked(node, product, stack(node).get());
      case Primitive.Gather _ -> gather(node);
      case Primitive.ScatterAdd scatter -> scatterAdd(node, scatter);
      case Composite.CrossEntropy loss when isSplit(in.getFirst(), loss.vocabulary()) -> {
        Value logits = values.term(in.get(0));
        values.give(node, vocabulary.crossEntropy(loss, logits, values.whole(in.get(1))));
      }
      case Composite.CrossEntropyGrad _ when isByFeatures(in.get(1)) -> {
        Value loss = values.whole(in.get(0));
        values.give(
            node,
            List.of(
                vocabulary.crossEntropyGrad(
                    loss,
                    values.term(in.get(1)),
                    values.whole(in.get(2)),
                    values.whole(in.get(3)))));
      }
      case Composite.CausalAttention op when isSplit(in.getFirst(), 1) ->
          values.give(node, attention.forward(op, values.term(in.getFirst())));
      case Composite.CausalAttentionGrad op when isSplit(in.get(1), new Shard(1, op.queries())) ->
          values.give(node, List.of(attention.backward(op, queries(node, 1))));
      case Composite.GroupedAttention _ when isSplit(in.getFirst(), 1) -> overQueries(node, 0);
      case Composite.GroupedAttentionGrad _ when isSplit(in.get(1), 1) -> overQueries(node, 1);
      case Primitive _, Composite _ -> any(node);
    }
  }

  /// Whether the last dimension is split, and cut so.
  private boolean isSplit(Value value, Blocks cut) {
    return isSplit(value, new Shard(value.type().shape().rank() - 1, cut));
  }

  private boolean isSplit(Value value, Shard how) {
    return values.isSplit(value) && values.placement(value).equals(how);
  }

  private boolean isSplit(Value value, int dim) {
    return values.isSplit(value)
        && values.placement(value) instanceof Shard shard
        && shard.dim() == dim;
  }

  private boolean isByFeatures(Value value) {
    return isSplit(value, value.type().shape().rank() - 1);
  }

  /// An op that follows its operands as they lie, or with whole ones cut as the others are, or one
  /// split one gathered; else it is given whole ones.
  private void any(Node node) {
    List<Placement> lying = new ArrayList<>();
    for (Value value : node.inputs()) {
      lying.add(values.isConstant(value) ? likeOthers(node, value) : values.placement(value));
    }
    if (isApplied(node, lying) || isApplied(node, alike(node, lying))) {
      return;
    }
    for (int i = 0; i < lying.size(); i++) {
      if (lying.get(i) instanceof Shard) {
        List<Placement> oneGathered = new ArrayList<>(lying);
        oneGathered.set(i, Placement.replicate());
        if (isApplied(node, oneGathered)) {
          return;
        }
      }
    }
    wholeOperands(node);
  }

  /// Adds a node with its operands placed so, if a rule takes them.
  private boolean isApplied(Node node, List<Placement> placements) {
    Optional<Op> op = LocalOps.of(node, placements, axis);
    if (op.isEmpty() || !fits(op.get(), node.inputs(), placements)) {
      return false;
    }
    List<Value> operands = new ArrayList<>();
    for (int i = 0; i < placements.size(); i++) {
      operands.add(values.placed(node.inputs().get(i), placements.get(i)));
    }
    values.give(node, out.apply(op.get(), operands));
    return true;
  }

  private boolean fits(Op op, List<Value> operands, List<Placement> placements) {
    List<Value> parts = new ArrayList<>();
    for (int i = 0; i < operands.size(); i++) {
      ValueType type = operands.get(i).type();
      Shape shape = placements.get(i).localShape(type.shape(), axis.ranks());
      parts.add(new Value(operands.get(i).id(), new ValueType(type.dtype(), shape)));
    }
    try {
      var _ = rules.infer(op, parts, placements);
      return true;
    } catch (IllegalArgumentException refused) {
      return false;
    }
  }

  private void wholeOperands(Node node) {
    values.give(node, out.apply(node.op(), node.inputs().stream().map(values::whole).toList()));
  }

  /// How a constant lies: as the node's split operand of the same shape does.
  private Placement likeOthers(Node node, Value value) {
    for (Value other : node.inputs()) {
      if (values.isSplit(other) && other.type().shape().equals(value.type().shape())) {
        return values.placement(other);
      }
    }
    return Placement.replicate();
  }

  /// Whole operands cut as the first split one of their shape is.
  private static List<Placement> alike(Node node, List<Placement> lying) {
    List<Placement> placements = new ArrayList<>(lying);
    for (int i = 0; i < lying.size(); i++) {
      Shape shape = node.inputs().get(i).type().shape();
      for (int other = 0; other < lying.size() && lying.get(i) instanceof Replicate; other++) {
        if (lying.get(other) instanceof Shard
            && node.inputs().get(other).type().shape().equals(shape)) {
          placements.set(i, lying.get(other));
          break;
        }
      }
    }
    return placements;
  }

  /// `x·w + b`. Where rows of `w` are split the product is a sum over ranks, and `b` is added once
  /// that is joined.
  private void linear(Node node, Composite.Linear linear) {
    Placement weight = values.placement(node.inputs().get(1));
    int rows = linear.transposeWeight() ? 1 : 0;
    if (!(weight instanceof Shard shard) || shard.dim() != rows) {
      any(node);
      return;
    }
    Primitive.MatMul product =
        new Primitive.MatMul(false, linear.transposeWeight(), shard.localBlocks(axis.ranks()));
    List<Value> factors = node.inputs().subList(0, 2);
    List<Placement> lying = List.of(values.placement(factors.getFirst()), weight);
    if (!linear.contraction().equals(shard.blocks()) || !fits(product, factors, lying)) {
      wholeOperands(node);
      return;
    }
    Value terms = out.one(product, values.term(factors.get(0)), values.term(factors.get(1)));
    Value joined = values.joined(node.outputs().getFirst(), terms);
    Shape shape = joined.type().shape();
    Primitive.BroadcastTo overRows = new Primitive.BroadcastTo(shape, List.of(shape.rank() - 1));
    Value bias = out.one(overRows, values.whole(node.inputs().get(2)));
    Value alike = out.placement(joined) instanceof Shard rank ? out.declare(bias, rank) : bias;
    values.give(node, List.of(out.one(new Primitive.Add(), joined, alike)));
  }

  /// How the matrices of an operand are dealt out, of a stack of products.
  private Optional<Shard> stack(Node node) {
    List<Value> in = node.inputs();
    int rank = in.getFirst().type().shape().rank();
    if (rank != in.getLast().type().shape().rank()) {
      return Optional.empty();
    }
    return in.stream()
        .filter(values::isSplit)
        .map(value -> (Shard) values.placement(value))
        .filter(shard -> shard.dim() < rank - 2)
        .findFirst();
  }

  private void stacked(Node node, Primitive.MatMul product, Shard shard) {
    List<Value> matrices = node.inputs().stream().map(value -> values.part(value, shard)).toList();
    values.give(node, out.apply(product, matrices));
  }

  private void gather(Node node) {
    Value table = node.inputs().get(0);
    if (values.isGiven(table) && isSplit(table, 0)) {
      Value ids = values.whole(node.inputs().get(1));
      values.give(node, List.of(vocabulary.gather(values.term(table), ids)));
    } else {
      any(node);
    }
  }

  private void scatterAdd(Node node, Primitive.ScatterAdd scatter) {
    Shard rows = wantedRows.get(node.outputs().getFirst());
    if (rows != null && !isByFeatures(node.inputs().get(1)) && scatter.rows() % axis.ranks() == 0) {
      Value ids = values.whole(node.inputs().get(0));
      Value updates = values.whole(node.inputs().get(1));
      values.give(node, List.of(vocabulary.scatterAdd(scatter, ids, updates, rows)));
    } else {
      any(node);
    }
  }

  /// Attention in which each rank has some queries and all keys and values.
  ///
  /// @param query which operand the queries are; keys and values follow
  private void overQueries(Node node, int query) {
    Shard lies = (Shard) values.placement(node.inputs().get(query));
    List<Placement> placements = new ArrayList<>();
    for (int i = 0; i < node.inputs().size(); i++) {
      boolean isKeyOrValue = i == query + 1 || i == query + 2;
      placements.add(isKeyOrValue ? Placement.replicate() : byQueries(lies, i - query));
    }
    if (!isApplied(node, placements)) {
      wholeOperands(node);
    }
  }

  /// Log-sum-exps are the fourth operand behind the queries, `[B, heads, T]`.
  private static Shard byQueries(Shard query, int behind) {
    return behind == 4 ? new Shard(2, query.blocks()) : query;
  }

  /// The operands of packed attention's gradient, split as the packed one is.
  private List<Value> queries(Node node, int packed) {
    Shard lies = (Shard) values.placement(node.inputs().get(packed));
    List<Value> operands = new ArrayList<>();
    for (int i = 0; i < node.inputs().size(); i++) {
      operands.add(values.placed(node.inputs().get(i), byQueries(lies, i + 1)));
    }
    return operands;
  }
}
