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

  /// `a & b`.
  int AND = 4;

  /// `a | b`.
  int OR = 5;

  /// `a ^ b`.
  int XOR = 6;

  /// 1 if both are not 0.
  int BOTH = 7;

  /// 1 if one is not 0.
  int EITHER = 8;

  /// 1 if exactly one is not 0.
  int ONE = 9;

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
