package dev.lockstep.transport;

import dev.lockstep.tensor.DType;
import java.lang.foreign.MemorySegment;

/// Element-wise joins; the scalar and the vector form give the same bits.
interface JoinKernels {
  /// `a + b`.
  int SUM = 0;

  /// `a * b`.
  int PROD = 1;

  /// The lesser.
  int MIN = 2;

  /// The greater.
  int MAX = 3;

  /// Computes `dst = a (op) b`.
  void join(
      int op,
      DType dtype,
      MemorySegment dst,
      long dstOffset,
      MemorySegment a,
      long aOffset,
      MemorySegment b,
      long bOffset,
      long elements);
}
