package dev.lockstep.train.placement;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.Shape;

/// What the ranks of one mesh axis hold of a value.
public sealed interface Placement {
  /// Returns that every rank holds the same elements.
  static Placement replicate() {
    return new Replicate();
  }

  /// Returns that every rank holds numbers of its own.
  static Placement perRank() {
    return new PerRank();
  }

  /// Every rank holds the same elements.
  record Replicate() implements Placement {
    @Override
    public String toString() {
      return "Replicate";
    }
  }

  /// Rank `r` holds part `r` of dimension `dim`: the extent is seen as `[outer, inner]`, and of
  /// each outer slice a rank holds its range of the inner extent.
  ///
  /// @param dim the dimension
  /// @param blocks how sums over the dimension are cut; every rank holds as many whole blocks
  record Shard(int dim, Blocks blocks) implements Placement {
    /// Returns the shape of a rank's part.
    ///
    /// @param ranks ranks of the axis
    public Shape part(Shape whole, int ranks) {
      return whole.with(dim, whole.dim(dim) / ranks);
    }

    /// Returns how a rank cuts a sum over its part.
    ///
    /// @param ranks ranks of the axis
    public Blocks localBlocks(int ranks) {
      return new Blocks(blocks.outer(), blocks.count() / ranks);
    }

    @Override
    public String toString() {
      return "Shard(dim=%d, blocks=%dx%d)".formatted(dim, blocks.outer(), blocks.count());
    }
  }

  /// Every rank holds a term; the value is what an all-reduce makes of the terms.
  ///
  /// @param op how terms are joined
  /// @param lanes which subtree of the sum each rank holds
  record Partial(ReduceOp op, LaneSplit lanes) implements Placement {
    @Override
    public String toString() {
      return "Partial(%s over %d)".formatted(op.label(), lanes.lanes());
    }
  }

  /// Every rank holds numbers of its own, which mean something only to the ops that were built to
  /// read them.
  record PerRank() implements Placement {
    @Override
    public String toString() {
      return "PerRank";
    }
  }

  /// Returns how a parameter lies over an axis that splits it where its [Split] allows.
  static Placement of(Split split) {
    return split.equals(Split.NONE) ? replicate() : new Shard(split.dim(), split.blocks());
  }

  /// Returns the shape of what one rank holds of a value.
  ///
  /// @param ranks ranks of the axis
  default Shape localShape(Shape whole, int ranks) {
    return switch (this) {
      case Shard shard -> shard.part(whole, ranks);
      case Replicate _, Partial _, PerRank _ -> whole;
    };
  }
}
