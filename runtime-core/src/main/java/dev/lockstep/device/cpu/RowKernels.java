package dev.lockstep.device.cpu;

/// Sums along rows and down columns, and what cross-entropy makes of them.
///
/// A sum along a row adds element `i` to partial sum `i mod 16`, ascending, and joins the 16 by
/// halves: `p[i] += p[i + 8]`, then 4, 2, 1. A sum down a column is one ascending chain within each
/// block.
interface RowKernels {
  /// Scratch of a sum along a row.
  long PARTIAL_BYTES = 64;

  /// The sum of `n` contiguous elements.
  float sum(long x, int n, long scratch);

  /// The sum of the squares of `n` contiguous elements, by fused multiply-adds.
  float sumSquares(long x, int n, long scratch);

  /// The greatest of `n` contiguous elements, NaN if one is NaN; negative infinity if there is
  /// none.
  float max(long x, int n, long scratch);

  /// The sum of the products of `n` pairs, by fused multiply-adds.
  float dot(long x, long y, int n, long scratch);

  /// Writes `e^(x - shift)` over `n` contiguous elements and returns their sum; in place or not.
  float exp(long x, float shift, long out, int n, long scratch);

  /// Sums rows into `out` for columns `[from, to)`.
  void columnSums(ColumnSums call, int from, int to, long scratch);

  /// `(e^(logits - logSumExp) - onehot) · scale` for rows `[from, to)`.
  void crossEntropyGrad(CrossEntropies call, float scale, int from, int to, long scratch);

  /// Room that a thread needs for column sums in `blocks` blocks.
  static long columnScratchBytes(int blocks) {
    return Tree.depth(blocks) * 512L;
  }
}
