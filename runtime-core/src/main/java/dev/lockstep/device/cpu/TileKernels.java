package dev.lockstep.device.cpu;

/// The innermost loop of [VectorGemm]: a packed row panel by a packed column panel.
interface TileKernels {
  /// Stores `depth` products' sums, which start at +0, at `out`, rows `stride` bytes apart.
  void multiply(long a, long b, int depth, long out, long stride);

  /// Goes on with the sums at `sums`: the same bits as if their products and these were one call's.
  void multiplyOn(long a, long b, int depth, long sums, long stride);
}
