package dev.lockstep.device.cpu;

/// Softmax cross-entropy over rows of `vocabulary` logits: addresses and shape.
final class CrossEntropies {
  final int rows;
  final int vocabulary;
  final int vocabularyOuter;
  final int vocabularyBlocks;
  final int tokenOuter;
  final int tokenBlocks;
  long logits;
  long targets;
  long logSumExp;

  /// One number per row: its loss, 0 where the target is negative.
  long rowLoss;

  long lossSum;
  long count;
  long dlogits;

  CrossEntropies(
      int rows,
      int vocabulary,
      int vocabularyOuter,
      int vocabularyBlocks,
      int tokenOuter,
      int tokenBlocks) {
    Cuts.check(rows, tokenOuter, tokenBlocks);
    Cuts.check(vocabulary, vocabularyOuter, vocabularyBlocks);
    this.rows = rows;
    this.vocabulary = vocabulary;
    this.vocabularyOuter = vocabularyOuter;
    this.vocabularyBlocks = vocabularyBlocks;
    this.tokenOuter = tokenOuter;
    this.tokenBlocks = tokenBlocks;
  }

  /// Room that a thread needs for [#rows], and the caller for [#finish].
  long scratchBytes() {
    return Math.max(
        BlockSums.sumExpBytes(vocabulary, vocabularyBlocks),
        BlockSums.sumBytes(rows, tokenOuter, tokenBlocks));
  }

  /// Computes log-sum-exp and loss of rows `[from, to)`.
  ///
  /// @throws IndexOutOfBoundsException if a target lies outside the vocabulary
  void rows(RowKernels kernels, int from, int to, long scratch) {
    for (int r = from; r < to; r++) {
      long row = logits + r * 4L * vocabulary;
      float greatest = kernels.max(row, vocabulary, scratch);
      float sum =
          BlockSums.sumExp(
              kernels, row, greatest, vocabulary, vocabularyOuter, vocabularyBlocks, scratch);
      float logSum = greatest + FloatMath.log(sum);
      Memory.f32(logSumExp + r * 4L, logSum);
      int target = target(r);
      Memory.f32(rowLoss + r * 4L, target < 0 ? 0f : logSum - Memory.f32(row + target * 4L));
    }
  }

  /// Returns the target of a row; negative if it has none.
  ///
  /// @throws IndexOutOfBoundsException if it lies outside the vocabulary
  int target(int r) {
    int target = Memory.i32(targets + r * 4L);
    if (target >= vocabulary) {
      throw new IndexOutOfBoundsException(
          "target lies outside the vocabulary: target="
              + target
              + ", row="
              + r
              + ", vocabulary="
              + vocabulary);
    }
    return target;
  }

  /// Sums the losses of all rows and counts those that have a target.
  void finish(RowKernels kernels, long scratch) {
    float sum = BlockSums.sum(kernels, rowLoss, rows, tokenOuter, tokenBlocks, scratch);
    int counted = 0;
    for (int r = 0; r < rows; r++) {
      counted += Memory.i32(targets + r * 4L) < 0 ? 0 : 1;
    }
    Memory.f32(lossSum, sum);
    Memory.f32(count, counted);
  }
}
