package dev.lockstep.collective.execute;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// Division of sums by a number of lanes: rounded to nearest once, in `float` for the types of one
/// and two bytes. Allocates nothing.
final class Quotients {
  private static final ValueLayout.OfDouble F64 =
      ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfFloat F32 =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfShort I16 =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private Quotients() {}

  static void divide(DType dtype, MemorySegment target, int by) {
    long bytes = target.byteSize();
    switch (dtype) {
      case F64 -> {
        for (long at = 0; at < bytes; at += Double.BYTES) {
          target.set(F64, at, target.get(F64, at) / by);
        }
      }
      case F32 -> {
        for (long at = 0; at < bytes; at += Float.BYTES) {
          target.set(F32, at, target.get(F32, at) / by);
        }
      }
      case BF16, F16 -> {
        for (long at = 0; at < bytes; at += Short.BYTES) {
          float sum = NarrowFloat.decode(dtype, target.get(I16, at));
          target.set(I16, at, (short) NarrowFloat.encode(dtype, sum / by));
        }
      }
      case F8_E4M3FN, F8_E4M3, F8_E5M2 -> {
        for (long at = 0; at < bytes; at++) {
          float sum = NarrowFloat.decode(dtype, target.get(ValueLayout.JAVA_BYTE, at));
          target.set(ValueLayout.JAVA_BYTE, at, (byte) NarrowFloat.encode(dtype, sum / by));
        }
      }
      case I64, I32, I16, I8, U8, BOOL ->
          throw new IllegalArgumentException("averages need a floating-point type: dtype=" + dtype);
    }
  }
}
