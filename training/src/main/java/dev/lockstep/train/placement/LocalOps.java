package dev.lockstep.train.placement;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.placement.Placement.Shard;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// An op that names extents, as one rank applies it to its parts.
final class LocalOps {
  private final Node node;
  private final List<Value> operands;
  private final PlacedBuilder placed;
  private final int ranks;

  private LocalOps(Node node, List<Value> operands, PlacedBuilder placed) {
    this.node = node;
    this.operands = operands;
    this.placed = placed;
    this.ranks = placed.axis().ranks();
  }

  /// Returns the op of a node for operands of which some are parts; empty if there is none.
  static Optional<Op> of(Node node, List<Value> operands, PlacedBuilder placed) {
    return new LocalOps(node, operands, placed).local();
  }

  private Optional<Op> local() {
    return switch (node.op()) {
      case Primitive.Reshape(Shape to) -> shard(0).flatMap(shard -> reshape(shard, to));
      case Primitive.BroadcastTo(Shape to, List<Integer> dims) ->
          shard(0).flatMap(shard -> broadcast(shard, to, dims));
      case Primitive.Slice(List<Long> starts, List<Long> limits) ->
          shard(0).flatMap(shard -> slice(shard, starts, limits));
      case Primitive.MatMul(boolean a, boolean b, Blocks cut) ->
          Optional.of(new Primitive.MatMul(a, b, product(a, cut)));
      case Primitive.ReduceSum(List<Integer> dims, Blocks cut) ->
          Optional.of(new Primitive.ReduceSum(dims, sum(dims, cut)));
      case Composite.CausalAttention(int heads) ->
          heads % ranks == 0
              ? Optional.of(new Composite.CausalAttention(heads / ranks))
              : Optional.empty();
      case Composite.CausalAttentionGrad(int heads, Blocks queries) ->
          heads % ranks == 0
              ? Optional.of(new Composite.CausalAttentionGrad(heads / ranks, queries))
              : Optional.empty();
      case Composite.GroupedAttention(int heads, int keyHeads, long first) ->
          heads % ranks == 0 && keyHeads % ranks == 0
              ? Optional.of(new Composite.GroupedAttention(heads / ranks, keyHeads / ranks, first))
              : Optional.empty();
      case Composite.GroupedAttentionGrad(int heads, int keyHeads, long first, Blocks queries) ->
          heads % ranks == 0 && keyHeads % ranks == 0
              ? Optional.of(
                  new Composite.GroupedAttentionGrad(
                      heads / ranks, keyHeads / ranks, first, queries))
              : Optional.empty();
      case Primitive.Iota _ -> Optional.empty();
      case Primitive other -> Optional.of(other);
      case Composite other -> Optional.of(other);
    };
  }

  private Optional<Shard> shard(int operand) {
    return placed.placement(operands.get(operand)) instanceof Shard shard
        ? Optional.of(shard)
        : Optional.empty();
  }

  private Optional<Op> reshape(Shard shard, Shape to) {
    int dim = PlacementRules.sameDim(node.inputs().getFirst().type().shape(), to, shard.dim());
    return dim < 0
        ? Optional.empty()
        : Optional.of(new Primitive.Reshape(to.with(dim, to.dim(dim) / ranks)));
  }

  private Optional<Op> broadcast(Shard shard, Shape to, List<Integer> dims) {
    int dim = dims.get(shard.dim());
    boolean isRepeated = node.inputs().getFirst().type().shape().dim(shard.dim()) != to.dim(dim);
    return isRepeated
        ? Optional.empty()
        : Optional.of(new Primitive.BroadcastTo(to.with(dim, to.dim(dim) / ranks), dims));
  }

  private Optional<Op> slice(Shard shard, List<Long> starts, List<Long> limits) {
    Shape from = node.inputs().getFirst().type().shape();
    int dim = shard.dim();
    if (starts.get(dim) != 0 || limits.get(dim) != from.dim(dim)) {
      return Optional.empty();
    }
    List<Long> local = new ArrayList<>(limits);
    local.set(dim, from.dim(dim) / ranks);
    return Optional.of(new Primitive.Slice(starts, local));
  }

  private Blocks product(boolean transposed, Blocks cut) {
    int rank = operands.getFirst().type().shape().rank();
    int summed = transposed ? rank - 2 : rank - 1;
    return shard(0)
        .filter(shard -> shard.dim() == summed && shard.blocks().equals(cut))
        .map(shard -> shard.localBlocks(ranks))
        .orElse(cut);
  }

  private Blocks sum(List<Integer> dims, Blocks cut) {
    return shard(0)
        .filter(shard -> dims.contains(shard.dim()) && shard.blocks().equals(cut))
        .map(shard -> shard.localBlocks(ranks))
        .orElse(cut);
  }
}
