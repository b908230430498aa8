package dev.lockstep.train.placement;

import dev.lockstep.graph.Blocks;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.placement.Placement.Shard;

/// How the tokens of a lane are spread over an axis: what holds one row per token is split by
/// positions wherever it can be.
///
/// Sums over the axis that have a row per token are reduce-scattered, not all-reduced: under tensor
/// parallelism that is sequence parallelism. Where inputs are cut too, no rank has all tokens of
/// anything but keys and values: context parallelism.
///
/// @param shape `[B, T]`, sequences and positions of a lane
/// @param blocks how sums over the positions are cut
/// @param end output that the way forth ends with: what was gathered before is gathered again on
///   the way back, so that it need not be kept meanwhile
public record TokenSplit(Shape shape, int blocks, String end) {
  /// Returns how `[B, T, …]` lies.
  public Shard shard() {
    return new Shard(1, new Blocks(1, blocks));
  }

  /// Returns whether a value has features for each token: `[B, T, C]`.
  boolean hasRows(Shape value) {
    return value.rank() == 3 && value.dim(0) == shape.dim(0) && value.dim(1) == shape.dim(1);
  }
}
