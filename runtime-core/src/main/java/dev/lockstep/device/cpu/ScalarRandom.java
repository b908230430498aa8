package dev.lockstep.device.cpu;

import dev.lockstep.tensor.Philox;

/// [RandomKernels] one element at a time: the fallback, the oracle, and what the vector path
/// leaves.
final class ScalarRandom implements RandomKernels {
  @Override
  public void uniform(long seed, long stream, long index, long out, int n) {
    elements(seed, stream, index, out, 0, n);
  }

  static void elements(long seed, long stream, long index, long out, int from, int to) {
    for (int i = from; i < to; i++) {
      Memory.f32(out + i * 4L, Philox.element(seed, stream, index + i));
    }
  }

  @Override
  public void drop(long random, float rate, long x, float scale, long out, int n) {
    dropRange(random, rate, x, scale, out, 0, n);
  }

  static void dropRange(long random, float rate, long x, float scale, long out, int from, int to) {
    for (int i = from; i < to; i++) {
      boolean falls = Memory.f32(random + i * 4L) < rate;
      Memory.f32(out + i * 4L, falls ? 0f : Memory.f32(x + i * 4L) * scale);
    }
  }
}
