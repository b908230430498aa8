package dev.lockstep.train.placement;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.placement.Placement.Shard;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/// An op that names extents, as one rank applies it to its parts.
final class LocalOps {
  private final Node node;
  private final List<Placement> in;
  private final AxisPlace axis;
  private final int ranks;

  private LocalOps(Node node, List<Placement> in, AxisPlace axis) {
    this.node = node;
    this.in = in;
    this.axis = axis;
    this.ranks = axis.ranks();
  }

  /// Returns the op of a node for operands of which some are parts; empty if there is none.
  ///
  /// @param in how the operands lie
  static Optional<Op> of(Node node, List<Placement> in, AxisPlace axis) {
    return in.stream().anyMatch(Shard.class::isInstance)
        ? new LocalOps(node, in, axis).local()
        : Optional.of(node.op());
  }

  private Optional<Op> local() {
    return switch (node.op()) {
      case Primitive.Reshape(Shape to) -> shard(0).flatMap(shard -> reshape(shard, to));
      case Primitive.BroadcastTo(Shape to, List<Integer> dims) ->
          shard(0).flatMap(shard -> broadcast(shard, to, dims));
      case Primitive.Slice(List<Long> starts, List<Long> limits) ->
          shard(0).flatMap(shard -> slice(shard, starts, limits));
      case Primitive.MatMul(boolean a, boolean b, Blocks cut) ->
          product(a, cut).map(local -> new Primitive.MatMul(a, b, local));
      case Primitive.ReduceSum(List<Integer> dims, Blocks cut) ->
          sum(dims, cut).map(local -> new Primitive.ReduceSum(dims, local));
      case Primitive.ScatterAdd(long rows, Blocks order) ->
          sum(0, 0, order).map(local -> new Primitive.ScatterAdd(rows, local));
      case Composite.LayerNormGrad(Blocks cut) -> sum(1, 1, cut).map(Composite.LayerNormGrad::new);
      case Composite.RmsNormGrad(Blocks cut) -> sum(1, 1, cut).map(Composite.RmsNormGrad::new);
      case Composite.CrossEntropy(Blocks cut, Blocks vocabulary) ->
          sum(0, 1, cut).map(local -> new Composite.CrossEntropy(local, vocabulary));
      case Composite.Dropout dropout -> shard(0).flatMap(shard -> dropout(shard, dropout));
      case Composite.Rotary(int size, float base, long first, boolean inverse) ->
          Optional.of(new Composite.Rotary(size, base, first + firstPosition(0), inverse));
      case Composite.CausalAttention(int heads) ->
          heads % ranks == 0
              ? Optional.of(new Composite.CausalAttention(heads / ranks))
              : Optional.empty();
      case Composite.CausalAttentionGrad(int heads, Blocks queries) ->
          heads % ranks == 0
              ? Optional.of(new Composite.CausalAttentionGrad(heads / ranks, queries))
              : Optional.empty();
      case Composite.GroupedAttention attention -> attention(attention);
      case Composite.GroupedAttentionGrad gradient -> attentionGrad(gradient);
      case Primitive.Iota _ -> Optional.empty();
      case Primitive other -> Optional.of(other);
      case Composite other -> Optional.of(other);
    };
  }

  private Optional<Shard> shard(int operand) {
    return in.get(operand) instanceof Shard shard ? Optional.of(shard) : Optional.empty();
  }

  private Shape shape(int operand) {
    return node.inputs().get(operand).type().shape();
  }

  private Optional<Op> reshape(Shard shard, Shape to) {
    return PlacementRules.reshaped(shape(0), to, shard)
        .map(found -> new Primitive.Reshape(found.part(to, ranks)));
  }

  private Optional<Op> broadcast(Shard shard, Shape to, List<Integer> dims) {
    int dim = dims.get(shard.dim());
    boolean isRepeated = shape(0).dim(shard.dim()) != to.dim(dim);
    return isRepeated
        ? Optional.empty()
        : Optional.of(new Primitive.BroadcastTo(to.with(dim, to.dim(dim) / ranks), dims));
  }

  private Optional<Op> slice(Shard shard, List<Long> starts, List<Long> limits) {
    Shape from = shape(0);
    int dim = shard.dim();
    if (starts.get(dim) != 0 || limits.get(dim) != from.dim(dim)) {
      return Optional.empty();
    }
    List<Long> local = new ArrayList<>(limits);
    local.set(dim, from.dim(dim) / ranks);
    return Optional.of(new Primitive.Slice(starts, local));
  }

  private Optional<Blocks> product(boolean transposed, Blocks cut) {
    int rank = shape(0).rank();
    int summed = transposed ? rank - 2 : rank - 1;
    return local(shard(0).filter(shard -> shard.dim() == summed), cut, Shard::blocks);
  }

  private Optional<Blocks> sum(List<Integer> dims, Blocks cut) {
    return local(
        shard(0).filter(shard -> dims.contains(shard.dim())),
        cut,
        shard -> TokenRules.cut(shape(0), dims, shard));
  }

  /// A sum over the rows of an operand, of which the last `kept` dimensions are none.
  private Optional<Blocks> sum(int operand, int kept, Blocks cut) {
    Shape shape = shape(operand);
    return local(
        shard(operand).filter(shard -> shard.dim() < shape.rank() - kept),
        cut,
        shard -> TokenRules.cut(shape, kept, shard));
  }

  /// How a rank cuts its part of a sum; empty where the sum is not cut as what it runs over is
  /// split: the ranks' terms would be those of another tree.
  ///
  /// @param split how the summed dimension is split; empty if it is not
  /// @param cut how the whole sum is cut
  /// @param fitting how a sum must be cut over what is split so
  private Optional<Blocks> local(
      Optional<Shard> split, Blocks cut, Function<Shard, Blocks> fitting) {
    if (split.isEmpty()) {
      return Optional.of(cut);
    }
    return split
        .filter(shard -> fitting.apply(shard).equals(cut))
        .map(_ -> new Blocks(cut.outer(), cut.count() / ranks));
  }

  /// The same elements fall as of the whole.
  private Optional<Op> dropout(Shard shard, Composite.Dropout op) {
    if (shard.blocks().outer() != 1) {
      return Optional.empty();
    }
    Primitive.Part all = op.random().part();
    List<Long> starts = new ArrayList<>(all.starts());
    Shape part = shard.part(all.shape(), ranks);
    starts.set(shard.dim(), starts.get(shard.dim()) + axis.rank() * part.dim(shard.dim()));
    Primitive.Uniform random =
        new Primitive.Uniform(
            new Primitive.Part(all.whole(), starts, part),
            op.random().seed(),
            op.random().tensor());
    return Optional.of(new Composite.Dropout(op.rate(), random));
  }

  /// How far behind the first position of the whole the first of this rank's is; 0 where positions
  /// are not split.
  private long firstPosition(int operand) {
    return shard(operand)
        .filter(shard -> shard.dim() == 1)
        .map(shard -> axis.rank() * (shape(operand).dim(1) / ranks))
        .orElse(0L);
  }

  private boolean isByHeads(int operand) {
    return shard(operand).filter(shard -> shard.dim() == 2).isPresent();
  }

  private Optional<Op> attention(Composite.GroupedAttention op) {
    long first = op.firstQuery() + firstPosition(0);
    if (!isByHeads(0)) {
      return Optional.of(new Composite.GroupedAttention(op.heads(), op.keyValueHeads(), first));
    }
    return op.heads() % ranks == 0 && op.keyValueHeads() % ranks == 0
        ? Optional.of(
            new Composite.GroupedAttention(
                op.heads() / ranks, op.keyValueHeads() / ranks, op.firstQuery()))
        : Optional.empty();
  }

  private Optional<Op> attentionGrad(Composite.GroupedAttentionGrad op) {
    if (!isByHeads(1)) {
      long first = op.firstQuery() + firstPosition(1);
      return local(shard(1), op.queries(), Shard::blocks)
          .map(
              queries ->
                  new Composite.GroupedAttentionGrad(
                      op.heads(), op.keyValueHeads(), first, queries));
    }
    return op.heads() % ranks == 0 && op.keyValueHeads() % ranks == 0
        ? Optional.of(
            new Composite.GroupedAttentionGrad(
                op.heads() / ranks, op.keyValueHeads() / ranks, op.firstQuery(), op.queries()))
        : Optional.empty();
  }
}
