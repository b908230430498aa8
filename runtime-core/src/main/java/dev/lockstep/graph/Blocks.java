package dev.lockstep.graph;

/// How a sum over an extent is cut so that a layout may split it without changing a bit.
///
/// The summed extent `K` is seen as `[outer, K / outer]`. The inner extent is cut into `count`
/// blocks at `floor(j * inner / count)`. Block `j` adds, for each outer index ascending, the
/// elements of its range ascending; the blocks' sums are joined by the tree [SumTree]. `Blocks(1,
/// 1)` is one ascending chain.
///
/// Used with `K` = features that tensor parallelism may split (`count` = tensor blocks; `outer` = 3
/// for packed q, k, v), and with `K` = tokens of a lane (`outer` = micro-batch, `count` = token
/// blocks, which cut the positions).
///
/// @param outer number of slices that each block takes its range from
/// @param count number of blocks, at least 1
public record Blocks(long outer, int count) {
  /// One ascending chain.
  public static final Blocks WHOLE = new Blocks(1, 1);

  /// Checks the counts.
  public Blocks {
    if (outer < 1 || count < 1) {
      throw new IllegalArgumentException(
          "blocks must be at least 1: outer=" + outer + ", count=" + count);
    }
  }

  /// Returns where block `block` starts within the inner extent (and where block `block - 1` ends).
  public long start(int block, long extent) {
    return block * (extent / outer) / count;
  }

  /// Checks that the extent can be seen as `[outer, extent / outer]`.
  public void check(long extent) {
    if (extent % outer != 0) {
      throw new IllegalArgumentException(
          "summed extent is not a multiple of its outer count: extent="
              + extent
              + ", outer="
              + outer);
    }
  }
}
