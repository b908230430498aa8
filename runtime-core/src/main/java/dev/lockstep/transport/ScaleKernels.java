package dev.lockstep.transport;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// Multiplies elements by a factor, rounding once. Allocates nothing.
final class ScaleKernels {
  private static final ByteOrder LE = ByteOrder.LITTLE_ENDIAN;
  private static final ValueLayout.OfDouble F64 = ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(LE);
  private static final ValueLayout.OfFloat F32 = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(LE);
  private static final ValueLayout.OfShort I16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(LE);
  private static final ValueLayout.OfByte I8 = ValueLayout.JAVA_BYTE;

  private ScaleKernels() {}

  static void scale(
      DType dtype,
      double factor,
      MemorySegment dst,
      long dstOffset,
      MemorySegment src,
      long srcOffset,
      long elements) {
    float single = (float) factor;
    switch (dtype) {
      case F64 -> {
        for (long at = 0; at < elements * Double.BYTES; at += Double.BYTES) {
          dst.set(F64, dstOffset + at, src.get(F64, srcOffset + at) * factor);
        }
      }
      case F32 -> {
        for (long at = 0; at < elements * Float.BYTES; at += Float.BYTES) {
          dst.set(F32, dstOffset + at, src.get(F32, srcOffset + at) * single);
        }
      }
      case BF16, F16 -> {
        for (long at = 0; at < elements * Short.BYTES; at += Short.BYTES) {
          float value = NarrowFloat.decode(dtype, src.get(I16, srcOffset + at)) * single;
          dst.set(I16, dstOffset + at, (short) NarrowFloat.encode(dtype, value));
        }
      }
      case F8_E4M3FN, F8_E4M3, F8_E5M2 -> {
        for (long at = 0; at < elements; at++) {
          float value = NarrowFloat.decode(dtype, src.get(I8, srcOffset + at)) * single;
          dst.set(I8, dstOffset + at, (byte) NarrowFloat.encode(dtype, value));
        }
      }
      case I64, I32, I16, I8, U8, BOOL ->
          throw new IllegalArgumentException(
              "only floating-point types are multiplied by a factor: dtype=" + dtype);
    }
  }
}
