package dev.lockstep.transport;

import dev.lockstep.tensor.DType;
import java.lang.foreign.MemorySegment;

/// Joins a vector at a time; tails, binary16, 8-bit floats and the logical ops of integers go to
/// the scalar form.
///
/// One loop per type and op, written out: a vector handed to a method that is not inlined, or
/// joined by an op that is not a constant, is an object on the heap.
final class VectorJoinKernels implements JoinKernels {
  /// Elements per call of a kernel: few enough to count in `int`, which loops are compiled best
  /// for.
  private static final int BLOCK = 1 << 20;

  private final ScalarJoinKernels scalar = new ScalarJoinKernels();

  @Override
  public void join(
      int op,
      DType dtype,
      MemorySegment dst,
      long dstOffset,
      MemorySegment a,
      long aOffset,
      MemorySegment b,
      long bOffset,
      long elements) {
    long vectorized = elements - elements % lanes(op, dtype);
    int size = dtype.bytes();
    for (long from = 0; from < vectorized; from += BLOCK) {
      int count = (int) Math.min(BLOCK, vectorized - from);
      long at = from * size;
      block(op, dtype, dst, dstOffset + at, a, aOffset + at, b, bOffset + at, count);
    }
    if (vectorized < elements) {
      long at = vectorized * size;
      long count = elements - vectorized;
      scalar.join(op, dtype, dst, dstOffset + at, a, aOffset + at, b, bOffset + at, count);
    }
  }

  /// Elements per vector; where there is no kernel more than there can be.
  private static long lanes(int op, DType dtype) {
    if (op >= BOTH && dtype != DType.BOOL) {
      return Long.MAX_VALUE;
    }
    return switch (dtype) {
      case F64 -> FloatVectorJoins.DOUBLES.length();
      case F32 -> FloatVectorJoins.FLOATS.length();
      case BF16 -> IntegerVectorJoins.INTS.length();
      case I64 -> IntegerVectorJoins.LONGS.length();
      case I32 -> IntegerVectorJoins.INTS.length();
      case I16 -> IntegerVectorJoins.SHORTS.length();
      case I8, U8, BOOL -> IntegerVectorJoins.BYTES.length();
      case F16, F8_E4M3FN, F8_E4M3, F8_E5M2 -> Long.MAX_VALUE;
    };
  }

  private static void block(
      int op,
      DType dtype,
      MemorySegment dst,
      long dstOffset,
      MemorySegment a,
      long aOffset,
      MemorySegment b,
      long bOffset,
      int elements) {
    if (op >= AND && dtype != DType.BOOL) {
      int bytes = elements * dtype.bytes();
      IntegerVectorJoins.bits(op, dst, dstOffset, a, aOffset, b, bOffset, bytes);
      return;
    }
    switch (dtype) {
      case F64 -> FloatVectorJoins.doubles(op, dst, dstOffset, a, aOffset, b, bOffset, elements);
      case F32 -> FloatVectorJoins.floats(op, dst, dstOffset, a, aOffset, b, bOffset, elements);
      case BF16 -> FloatVectorJoins.bfloats(op, dst, dstOffset, a, aOffset, b, bOffset, elements);
      case I64 -> IntegerVectorJoins.longs(op, dst, dstOffset, a, aOffset, b, bOffset, elements);
      case I32 -> IntegerVectorJoins.ints(op, dst, dstOffset, a, aOffset, b, bOffset, elements);
      case I16 -> IntegerVectorJoins.shorts(op, dst, dstOffset, a, aOffset, b, bOffset, elements);
      case I8 -> IntegerVectorJoins.bytes(op, dst, dstOffset, a, aOffset, b, bOffset, elements);
      case U8 ->
          IntegerVectorJoins.unsignedBytes(op, dst, dstOffset, a, aOffset, b, bOffset, elements);
      case BOOL ->
          IntegerVectorJoins.bits(
              ScalarJoinKernels.ofTruthValues(op),
              dst,
              dstOffset,
              a,
              aOffset,
              b,
              bOffset,
              elements);
      case F16, F8_E4M3FN, F8_E4M3, F8_E5M2 -> throw new AssertionError(dtype);
    }
  }
}
