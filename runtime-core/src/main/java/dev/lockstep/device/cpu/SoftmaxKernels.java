package dev.lockstep.device.cpu;

/// The passes of a softmax over strips of four rows, `row` bytes apart, of a multiple of 16 scores:
/// what [VectorAttention] makes of its scores.
interface SoftmaxKernels {
  /// Leaves 16 partial maxima of each of four rows in `sums`.
  void greatest(long strip, long row, int keys, long sums);

  /// Turns four rows `x` into `e^(x - shift)` and leaves 16 partial sums of each in `sums`.
  void exponentials(
      long strip,
      long row,
      int keys,
      float shift0,
      float shift1,
      float shift2,
      float shift3,
      long sums);
}
