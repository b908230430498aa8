package dev.lockstep.device.cpu;

/// Sums along a row that is cut into blocks: each block is 16 strided partial sums of its own, the
/// blocks are joined by [Tree].
final class BlockSums {
  private BlockSums() {}

  /// Room that a thread needs for [#sum] of a row of `extent` elements: the row itself only where
  /// its blocks do not lie side by side.
  static long sumBytes(int extent, int outer, int blocks) {
    return RowKernels.PARTIAL_BYTES + stackBytes(blocks) + (outer == 1 ? 0 : extent * 4L);
  }

  /// Room that a thread needs for [#sumExp] of a row of `extent` elements.
  static long sumExpBytes(int extent, int blocks) {
    return RowKernels.PARTIAL_BYTES + stackBytes(blocks) + extent * 4L;
  }

  private static long stackBytes(int blocks) {
    return (Tree.depth(blocks) * 4L + 63) & -64L;
  }

  static float sum(RowKernels rows, long x, int extent, int outer, int blocks, long scratch) {
    if (outer == 1 && blocks == 1) {
      return rows.sum(x, extent, scratch);
    }
    int inner = extent / outer;
    long stack = scratch + RowKernels.PARTIAL_BYTES;
    for (int j = 0; j < blocks; j++) {
      long block = block(x, inner, outer, blocks, j, stack);
      int n = length(inner, outer, blocks, j);
      Tree.push(stack, j, rows.sum(block, n, scratch));
    }
    return Tree.join(stack, blocks);
  }

  static float sumExp(
      RowKernels rows, long x, float shift, int extent, int outer, int blocks, long scratch) {
    int inner = extent / outer;
    long stack = scratch + RowKernels.PARTIAL_BYTES;
    for (int j = 0; j < blocks; j++) {
      long block = block(x, inner, outer, blocks, j, stack);
      int n = length(inner, outer, blocks, j);
      Tree.push(stack, j, rows.exp(block, shift, stack + stackBytes(blocks), n, scratch));
    }
    return Tree.join(stack, blocks);
  }

  private static int length(int inner, int outer, int blocks, int j) {
    return outer * (Cuts.start(j + 1, inner, blocks) - Cuts.start(j, inner, blocks));
  }

  /// Where block `j` lies side by side: in the row itself, or gathered from its slices.
  private static long block(long x, int inner, int outer, int blocks, int j, long stack) {
    int lo = Cuts.start(j, inner, blocks);
    if (outer == 1) {
      return x + lo * 4L;
    }
    long bytes = (Cuts.start(j + 1, inner, blocks) - lo) * 4L;
    long to = stack + stackBytes(blocks);
    for (int o = 0; o < outer; o++) {
      Memory.copy(x + ((long) o * inner + lo) * 4, to + o * bytes, bytes);
    }
    return to;
  }
}
