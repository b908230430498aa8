package dev.lockstep.bench.micro;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// What one core of this machine does at best: what kernels are held against.
///
/// @param flopsPerMicrosecond float32 operations of a loop of fused multiply-adds, each counted
///   twice
/// @param bytesPerMicrosecond bytes read and written by copying memory that no cache holds
record Peaks(double flopsPerMicrosecond, double bytesPerMicrosecond) {
  private static final int ELEMENTS = 2_048;
  private static final int CHAIN = 16;
  private static final int PASSES = 2_000;
  private static final long COPIED = 64L << 20;
  private static final int ROUNDS = 30;

  /// Measures both, each as the best of some rounds; takes about a second.
  static Peaks measure() {
    float[] x = new float[ELEMENTS];
    double flops = 0;
    for (int round = 0; round < ROUNDS; round++) {
      long start = System.nanoTime();
      for (int pass = 0; pass < PASSES; pass++) {
        multiplyAdd(x, 0.5f, 0.25f);
      }
      double done = 2.0 * CHAIN * ELEMENTS * PASSES;
      flops = Math.max(flops, done / (System.nanoTime() - start) * 1e3);
    }
    double bytes = 0;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment from = arena.allocate(COPIED, 64);
      MemorySegment to = arena.allocate(COPIED, 64);
      for (int round = 0; round < ROUNDS; round++) {
        long start = System.nanoTime();
        to.copyFrom(from);
        bytes = Math.max(bytes, 2.0 * COPIED / (System.nanoTime() - start) * 1e3);
      }
    }
    if (!(x[0] > 0)) {
      throw new IllegalStateException("loop computed nothing: found=" + x[0]);
    }
    return new Peaks(flops, bytes);
  }

  /// Sixteen operations for a load and a store, so that arithmetic is what it takes; the compiler
  /// makes vectors of it and has several in flight.
  private static void multiplyAdd(float[] x, float a, float b) {
    for (int i = 0; i < x.length; i++) {
      float v = x[i];
      v = Math.fma(v, a, b);
      v = Math.fma(v, a, b);
      v = Math.fma(v, a, b);
      v = Math.fma(v, a, b);
      v = Math.fma(v, a, b);
      v = Math.fma(v, a, b);
      v = Math.fma(v, a, b);
      v = Math.fma(v, a, b);
      v = Math.fma(v, a, b);
      v = Math.fma(v, a, b);
      v = Math.fma(v, a, b);
      v = Math.fma(v, a, b);
      v = Math.fma(v, a, b);
      v = Math.fma(v, a, b);
      v = Math.fma(v, a, b);
      v = Math.fma(v, a, b);
      x[i] = v;
    }
  }
}
