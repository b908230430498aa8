package dev.lockstep.device.cpu;

/// Random numbers by counter; see [dev.lockstep.tensor.Philox#element].
interface RandomKernels {
  /// Writes elements `[index, index + n)`.
  void uniform(long seed, long stream, long index, long out, int n);

  /// Writes 0 where `random` is below `rate`, elsewhere `x · scale`; in place or not.
  void drop(long random, float rate, long x, float scale, long out, int n);
}
