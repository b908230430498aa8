package dev.lockstep.transport;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// Joins one element at a time: the oracle of the vector form, its tail, and what runs without the
/// Vector API.
final class ScalarJoinKernels implements JoinKernels {
  private static final ByteOrder LE = ByteOrder.LITTLE_ENDIAN;
  private static final ValueLayout.OfDouble F64 = ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(LE);
  private static final ValueLayout.OfFloat F32 = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(LE);
  private static final ValueLayout.OfLong I64 = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LE);
  private static final ValueLayout.OfInt I32 = ValueLayout.JAVA_INT_UNALIGNED.withOrder(LE);
  private static final ValueLayout.OfShort I16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(LE);
  private static final ValueLayout.OfByte I8 = ValueLayout.JAVA_BYTE;

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
    int size = dtype.bytes();
    switch (dtype) {
      case F64 -> {
        for (long at = 0; at < elements * size; at += size) {
          double value = join(op, a.get(F64, aOffset + at), b.get(F64, bOffset + at));
          dst.set(F64, dstOffset + at, value);
        }
      }
      case F32 -> {
        for (long at = 0; at < elements * size; at += size) {
          float value = join(op, a.get(F32, aOffset + at), b.get(F32, bOffset + at));
          dst.set(F32, dstOffset + at, value);
        }
      }
      case BF16, F16 -> {
        for (long at = 0; at < elements * size; at += size) {
          float left = NarrowFloat.decode(dtype, a.get(I16, aOffset + at));
          float right = NarrowFloat.decode(dtype, b.get(I16, bOffset + at));
          dst.set(I16, dstOffset + at, (short) NarrowFloat.encode(dtype, join(op, left, right)));
        }
      }
      case F8_E4M3FN, F8_E4M3, F8_E5M2 -> {
        for (long at = 0; at < elements * size; at += size) {
          float left = NarrowFloat.decode(dtype, a.get(I8, aOffset + at));
          float right = NarrowFloat.decode(dtype, b.get(I8, bOffset + at));
          dst.set(I8, dstOffset + at, (byte) NarrowFloat.encode(dtype, join(op, left, right)));
        }
      }
      case I64 -> {
        for (long at = 0; at < elements * size; at += size) {
          long value = join(op, a.get(I64, aOffset + at), b.get(I64, bOffset + at));
          dst.set(I64, dstOffset + at, value);
        }
      }
      case I32 -> {
        for (long at = 0; at < elements * size; at += size) {
          int value = (int) join(op, a.get(I32, aOffset + at), (long) b.get(I32, bOffset + at));
          dst.set(I32, dstOffset + at, value);
        }
      }
      case I16 -> {
        for (long at = 0; at < elements * size; at += size) {
          long value = join(op, a.get(I16, aOffset + at), (long) b.get(I16, bOffset + at));
          dst.set(I16, dstOffset + at, (short) value);
        }
      }
      case I8 -> {
        for (long at = 0; at < elements * size; at += size) {
          long value = join(op, a.get(I8, aOffset + at), (long) b.get(I8, bOffset + at));
          dst.set(I8, dstOffset + at, (byte) value);
        }
      }
      case U8 -> {
        for (long at = 0; at < elements * size; at += size) {
          long left = Byte.toUnsignedLong(a.get(I8, aOffset + at));
          long right = Byte.toUnsignedLong(b.get(I8, bOffset + at));
          dst.set(I8, dstOffset + at, (byte) join(op, left, right));
        }
      }
      case BOOL -> {
        int bitwise = ofTruthValues(op);
        for (long at = 0; at < elements; at++) {
          long left = a.get(I8, aOffset + at);
          long right = b.get(I8, bOffset + at);
          dst.set(I8, dstOffset + at, (byte) join(bitwise, left, right));
        }
      }
    }
  }

  private static double join(int op, double a, double b) {
    return switch (op) {
      case SUM -> a + b;
      case PROD -> a * b;
      case MIN -> Math.min(a, b);
      case MAX -> Math.max(a, b);
      default -> throw new AssertionError(op);
    };
  }

  private static float join(int op, float a, float b) {
    return switch (op) {
      case SUM -> a + b;
      case PROD -> a * b;
      case MIN -> Math.min(a, b);
      case MAX -> Math.max(a, b);
      default -> throw new AssertionError(op);
    };
  }

  /// Integers of every width: sums and products wrap when the result is narrowed.
  private static long join(int op, long a, long b) {
    return switch (op) {
      case SUM -> a + b;
      case PROD -> a * b;
      case MIN -> Math.min(a, b);
      case MAX -> Math.max(a, b);
      case AND -> a & b;
      case OR -> a | b;
      case XOR -> a ^ b;
      case BOTH -> a != 0 && b != 0 ? 1 : 0;
      case EITHER -> a != 0 || b != 0 ? 1 : 0;
      case ONE -> (a != 0) != (b != 0) ? 1 : 0;
      default -> throw new AssertionError(op);
    };
  }

  /// Returns the bitwise op that joins truth values, which are 0 or 1.
  static int ofTruthValues(int op) {
    return switch (op) {
      case SUM, MAX, OR, EITHER -> OR;
      case PROD, MIN, AND, BOTH -> AND;
      case XOR, ONE -> XOR;
      default -> throw new AssertionError(op);
    };
  }
}
