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
import dev.lockstep.train.placement.Placement.Partial;
import dev.lockstep.train.placement.Placement.PerRank;
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
/// makes its terms one by an all-reduce first. Whatever no rule of [PlacementRules] fits is given
/// whole operands. Sums are cut as the ops' [Blocks] say and joined by their tree, so that the
/// result has the bits of the program of one device.
public final class AxisLayout {
  private final Graph graph;
  private final PlacedBuilder out;
  private final AxisPlace axis;
  private final VocabularySplit vocabulary;
  private final Map<Value, Value> local = new HashMap<>();
  private final Map<Value, Primitive.Constant> constants = new HashMap<>();
  private final Map<Value, Value> whole = new HashMap<>();
  private final Map<Value, Shard> wantedRows = new HashMap<>();

  private AxisLayout(Graph graph, AxisPlace axis) {
    this.graph = graph;
    this.axis = axis;
    this.out = new PlacedBuilder(graph.name(), axis);
    this.vocabulary = new VocabularySplit(out);
  }

  /// Lays a graph out.
  ///
  /// @param graph without aliases
  /// @param inputs placements of inputs; what is not named is whole on every rank
  /// @param outputs wanted placements of outputs; what is not named is wanted whole
  /// @throws IllegalArgumentException if an input cannot be split so
  public static PlacedGraph lay(
      Graph graph, AxisPlace axis, Map<String, Placement> inputs, Map<String, Placement> outputs) {
    return new AxisLayout(graph, axis).lay(inputs, outputs);
  }

  private PlacedGraph lay(Map<String, Placement> inputs, Map<String, Placement> outputs) {
    for (Graph.Named input : graph.inputs()) {
      Placement placement = inputs.getOrDefault(input.name(), Placement.replicate());
      ValueType type = input.value().type();
      requireDivides(input, placement);
      ValueType part =
          new ValueType(type.dtype(), placement.localShape(type.shape(), axis.ranks()));
      local.put(input.value(), out.input(input.name(), part, placement));
    }
    for (Graph.Named output : graph.outputs()) {
      if (outputs.get(output.name()) instanceof Shard shard
          && shard.dim() == 0
          && shard.blocks().outer() == 1) {
        wantedRows.put(output.value(), shard);
      }
    }
    graph.nodes().forEach(this::visit);
    for (Graph.Named output : graph.outputs()) {
      Placement wanted = outputs.getOrDefault(output.name(), Placement.replicate());
      out.output(output.name(), placed(output.value(), wanted));
    }
    return out.build();
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

  private void visit(Node node) {
    switch (node.op()) {
      case Primitive.Constant constant -> constants.put(node.outputs().getFirst(), constant);
      case Composite.Linear linear -> linear(node, linear);
      case Primitive.Gather _ -> gather(node);
      case Primitive.ScatterAdd scatter -> scatterAdd(node, scatter);
      case Composite.CrossEntropy loss
          when isSplit(node.inputs().getFirst(), loss.vocabulary()) -> {
        Value logits = term(node.inputs().get(0));
        give(node, vocabulary.crossEntropy(loss, logits, whole(node.inputs().get(1))));
      }
      case Composite.CrossEntropyGrad _ when isSplit(node.inputs().get(1)) -> {
        List<Value> in = node.inputs();
        Value loss = whole(in.get(0));
        give(
            node,
            List.of(
                vocabulary.crossEntropyGrad(
                    loss, term(in.get(1)), whole(in.get(2)), whole(in.get(3)))));
      }
      case Primitive _, Composite _ -> any(node);
    }
  }

  private void give(Node node, List<Value> results) {
    for (int i = 0; i < results.size(); i++) {
      local.put(node.outputs().get(i), results.get(i));
    }
  }

  /// Whether the last dimension is split, and cut so.
  private boolean isSplit(Value value, Blocks cut) {
    int last = value.type().shape().rank() - 1;
    return isSplit(value) && out.placement(term(value)).equals(new Shard(last, cut));
  }

  private boolean isSplit(Value value) {
    return !constants.containsKey(value) && out.placement(term(value)) instanceof Shard;
  }

  /// An op that follows its operands, or is given whole ones.
  private void any(Node node) {
    Optional<Shape> split =
        node.inputs().stream()
            .filter(this::isSplit)
            .map(value -> term(value).type().shape())
            .findFirst();
    if (split.isEmpty()) {
      wholeOperands(node);
      return;
    }
    List<Value> operands = new ArrayList<>();
    for (Value value : node.inputs()) {
      operands.add(constants.containsKey(value) ? constantLike(node, value) : term(value));
    }
    Optional<Op> op = LocalOps.of(node, operands, out);
    if (op.isPresent() && fits(op.get(), operands)) {
      give(node, out.apply(op.get(), operands));
    } else {
      wholeOperands(node);
    }
  }

  private boolean fits(Op op, List<Value> operands) {
    try {
      List<Placement> placements = operands.stream().map(out::placement).toList();
      var _ = new PlacementRules(axis).infer(op, operands, placements);
      return true;
    } catch (IllegalArgumentException refused) {
      return false;
    }
  }

  private void wholeOperands(Node node) {
    give(node, out.apply(node.op(), node.inputs().stream().map(this::whole).toList()));
  }

  /// A constant that lies as the node's split operand of the same type does.
  private Value constantLike(Node node, Value value) {
    for (Value other : node.inputs()) {
      if (isSplit(other) && other.type().shape().equals(value.type().shape())) {
        return constant(value, out.placement(term(other)));
      }
    }
    return whole(value);
  }

  private Value constant(Value value, Placement placement) {
    Primitive.Constant constant = constants.get(value);
    if (constant == null) {
      throw new IllegalStateException("no constant: " + value);
    }
    Shape shape = placement.localShape(constant.type().shape(), axis.ranks());
    return out.constant(new ValueType(constant.type().dtype(), shape), constant.value(), placement);
  }

  /// `x·w + b`. Where rows of `w` are split the product is a sum over ranks, and `b` is added once
  /// that is joined.
  private void linear(Node node, Composite.Linear linear) {
    Value weight = term(node.inputs().get(1));
    int rows = linear.transposeWeight() ? 1 : 0;
    if (!(out.placement(weight) instanceof Shard shard) || shard.dim() != rows) {
      any(node);
      return;
    }
    Value x = term(node.inputs().get(0));
    Primitive.MatMul product =
        new Primitive.MatMul(false, linear.transposeWeight(), shard.localBlocks(axis.ranks()));
    if (!linear.contraction().equals(shard.blocks()) || !fits(product, List.of(x, weight))) {
      wholeOperands(node);
      return;
    }
    Value joined = reduced(out.one(product, x, weight));
    Shape shape = joined.type().shape();
    Primitive.BroadcastTo overRows = new Primitive.BroadcastTo(shape, List.of(shape.rank() - 1));
    Value bias = out.one(overRows, whole(node.inputs().get(2)));
    give(node, List.of(out.one(new Primitive.Add(), joined, bias)));
  }

  private void gather(Node node) {
    Value table = term(node.inputs().get(0));
    if (out.placement(table) instanceof Shard shard && shard.dim() == 0) {
      give(node, List.of(vocabulary.gather(table, whole(node.inputs().get(1)))));
    } else {
      any(node);
    }
  }

  private void scatterAdd(Node node, Primitive.ScatterAdd scatter) {
    Shard wanted = wantedRows.get(node.outputs().getFirst());
    if (wanted != null && !isSplit(node.inputs().get(1)) && scatter.rows() % axis.ranks() == 0) {
      Value ids = whole(node.inputs().get(0));
      Value updates = whole(node.inputs().get(1));
      give(node, List.of(vocabulary.scatterAdd(scatter, ids, updates, wanted)));
    } else {
      any(node);
    }
  }

  /// What this rank holds of a value, terms of a sum joined.
  private Value term(Value value) {
    if (constants.containsKey(value)) {
      return whole(value);
    }
    Value held = local.get(value);
    if (held == null) {
      throw new IllegalStateException("value is read before it is made: " + value);
    }
    return out.placement(held) instanceof Partial ? whole(value) : held;
  }

  /// The whole value.
  private Value whole(Value value) {
    Value found = whole.get(value);
    if (found == null) {
      found = constants.containsKey(value) ? constant(value, Placement.replicate()) : made(value);
      whole.put(value, found);
    }
    return found;
  }

  private Value made(Value value) {
    Value held = local.get(value);
    if (held == null) {
      throw new IllegalStateException("value is read before it is made: " + value);
    }
    return switch (out.placement(held)) {
      case Replicate _ -> held;
      case Partial _ -> reduced(held);
      case Shard shard -> gathered(held, shard);
      case PerRank _ -> throw new IllegalStateException("a rank's own numbers: " + value);
    };
  }

  private Value reduced(Value terms) {
    return out.placement(terms) instanceof Partial(var op, var lanes)
        ? out.one(new Primitive.AllReduce(axis.name(), op, lanes), terms)
        : terms;
  }

  /// Gathers parts along the first dimension and brings them to where they belong.
  private Value gathered(Value part, Shard shard) {
    Shape shape = part.type().shape();
    long before = 1;
    for (int dim = 0; dim < shard.dim(); dim++) {
      before *= shape.dim(dim);
    }
    long outer = shard.blocks().outer();
    long inner = shape.dim(shard.dim()) / outer;
    long after = shape.elements() / Math.max(1, before * outer * inner);
    int ranks = axis.ranks();
    Shape flat = Shape.of(before * outer, inner, after);
    Value own =
        out.declare(
            out.one(new Primitive.Reshape(Shape.of(1, flat.elements())), part),
            Placement.perRank());
    Value all = out.one(new Primitive.AllGather(axis.name(), ranks, 0), own);
    Value parts =
        out.one(new Primitive.Reshape(Shape.of(ranks, before * outer, inner, after)), all);
    Value sorted = out.one(new Primitive.Transpose(List.of(1, 0, 2, 3)), parts);
    Shape result = shape.with(shard.dim(), shape.dim(shard.dim()) * ranks);
    return out.one(new Primitive.Reshape(result), sorted);
  }

  private Value placed(Value value, Placement wanted) {
    if (constants.containsKey(value)) {
      return constant(value, wanted);
    }
    Value held = term(value);
    Placement found = out.placement(held);
    if (found.equals(wanted)) {
      return held;
    }
    Value all = whole(value);
    return switch (wanted) {
      case Replicate _ -> all;
      case Shard shard -> part(all, shard);
      case Partial _, PerRank _ ->
          throw new IllegalArgumentException("no value is wanted so: placement=" + wanted);
    };
  }

  /// This rank's part of a whole value.
  private Value part(Value all, Shard shard) {
    Shape shape = all.type().shape();
    long outer = shard.blocks().outer();
    long slice = shape.dim(shard.dim()) / outer;
    long inner = slice / axis.ranks();
    List<Value> parts = new ArrayList<>();
    for (long i = 0; i < outer; i++) {
      long start = i * slice + axis.rank() * inner;
      Value cut = out.one(Slices.along(shape, shard.dim(), start, start + inner), all);
      parts.add(out.declare(cut, Placement.perRank()));
    }
    Value joined =
        parts.size() == 1
            ? parts.getFirst()
            : out.apply(new Primitive.Concat(shard.dim()), parts).getFirst();
    return out.declare(joined, shard);
  }
}
