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

  private static final Ties BF16_TIES = new Ties(7, Float.MIN_NORMAL);
  private static final Ties F16_TIES = new Ties(10, 0x1p-14f);
  private static final Ties E4M3_TIES = new Ties(3, 0x1p-6f);
  private static final Ties E5M2_TIES = new Ties(2, 0x1p-14f);

  private ScaleKernels() {}

  /// Where `float` may lie between two neighbours of a narrow type.
  ///
  /// @param dropped bits of a fraction that the type has not
  /// @param half the highest of them
  /// @param belowNormal less than the bits of its normal numbers
  private record Ties(int dropped, int half, int belowNormal) {
    Ties(int fractionBits, float smallestNormal) {
      this(
          (1 << (23 - fractionBits)) - 1,
          1 << (22 - fractionBits),
          Float.floatToRawIntBits(smallestNormal) - 1);
    }

    /// Whether it may be a tie; of numbers that are not normal any may be, but for zeros.
    boolean mayHave(float value) {
      int bits = Float.floatToRawIntBits(value);
      boolean isTiny = Integer.compareUnsigned((bits & 0x7FFF_FFFF) - 1, belowNormal) < 0;
      return (bits & dropped) == half || isTiny;
    }
  }

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
        Ties ties = dtype == DType.BF16 ? BF16_TIES : F16_TIES;
        for (long at = 0; at < elements * Short.BYTES; at += Short.BYTES) {
          float value = NarrowFloat.decode(dtype, src.get(I16, srcOffset + at));
          float product = product(value, single, ties);
          dst.set(I16, dstOffset + at, (short) NarrowFloat.encode(dtype, product));
        }
      }
      case F8_E4M3FN, F8_E4M3, F8_E5M2 -> {
        Ties ties = dtype == DType.F8_E5M2 ? E5M2_TIES : E4M3_TIES;
        for (long at = 0; at < elements; at++) {
          float value = NarrowFloat.decode(dtype, src.get(I8, srcOffset + at));
          float product = product(value, single, ties);
          dst.set(I8, dstOffset + at, (byte) NarrowFloat.encode(dtype, product));
        }
      }
      case I64, I32, I16, I8, U8, BOOL ->
          throw new IllegalArgumentException(
              "only floating-point types are multiplied by a factor: dtype=" + dtype);
    }
  }

  /// The product, to be rounded to the narrow type. It is rounded to `float` here, but not onto a
  /// tie of that type beside which the exact product lies, which `double` holds.
  private static float product(float value, float factor, Ties ties) {
    float product = value * factor;
    return ties.mayHave(product) ? NarrowFloat.roundedToOdd((double) value * factor) : product;
  }
}
