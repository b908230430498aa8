package dev.lockstep.tensor;

/// Exact codecs between `float` and the narrow floating-point formats. Decoding is exact; encoding
/// rounds to nearest, ties to even, and keeps signs of zeros and infinities. Stateless.
///
/// What passes a format's largest number becomes infinity where the format has one and NaN where it
/// has none (`F8_E4M3FN`); nothing saturates. A NaN stays a NaN of the same sign; its payload is
/// kept only as far as it fits.
public final class NarrowFloat {
  private static final int F32_FRACTION_BITS = 23;
  private static final int F32_BIAS = 127;
  private static final int F32_INFINITY = 0x7F80_0000;

  private NarrowFloat() {}

  /// Decodes bfloat16.
  public static float fromBf16(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }

  /// Encodes bfloat16.
  public static short toBf16(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return (short)
          ((bits >>> 16) | 0x40); // quiet, so that a low payload does not become infinity
    }
    return (short) ((bits + 0x7FFF + ((bits >>> 16) & 1)) >>> 16);
  }

  /// Decodes binary16.
  public static float fromF16(short bits) {
    return Float.float16ToFloat(bits);
  }

  /// Encodes binary16.
  public static short toF16(float value) {
    return Float.floatToFloat16(value);
  }

  /// Decodes 8-bit float `F8_E4M3FN`.
  public static float fromE4m3fn(byte bits) {
    return (bits & 0x7F) == 0x7F ? nan(bits) : decode(bits, 3, 7);
  }

  /// Encodes 8-bit float `F8_E4M3FN`; what rounds past 448 becomes NaN.
  public static byte toE4m3fn(float value) {
    return encode(value, 3, 7, 0x7F, 0x7F);
  }

  /// Decodes 8-bit float `F8_E4M3`.
  public static float fromE4m3(byte bits) {
    return (bits & 0x78) == 0x78 ? special(bits, 0x07) : decode(bits, 3, 7);
  }

  /// Encodes 8-bit float `F8_E4M3`; what rounds past 240 becomes infinity.
  public static byte toE4m3(float value) {
    return encode(value, 3, 7, 0x78, 0x7C);
  }

  /// Decodes 8-bit float `F8_E5M2`.
  public static float fromE5m2(byte bits) {
    return (bits & 0x7C) == 0x7C ? special(bits, 0x03) : decode(bits, 2, 15);
  }

  /// Encodes 8-bit float `F8_E5M2`; what rounds past 57344 becomes infinity.
  public static byte toE5m2(float value) {
    return encode(value, 2, 15, 0x7C, 0x7E);
  }

  /// Decodes the low bits of `bits` by a narrow float type.
  ///
  /// @throws IllegalArgumentException if `dtype` is no float of one or two bytes
  public static float decode(DType dtype, int bits) {
    return switch (dtype) {
      case BF16 -> fromBf16((short) bits);
      case F16 -> fromF16((short) bits);
      case F8_E4M3FN -> fromE4m3fn((byte) bits);
      case F8_E4M3 -> fromE4m3((byte) bits);
      case F8_E5M2 -> fromE5m2((byte) bits);
      case F64, F32, I64, I32, I16, I8, U8, BOOL -> throw notNarrow(dtype);
    };
  }

  /// Encodes into the low bits of the result, the others being 0.
  ///
  /// @throws IllegalArgumentException if `dtype` is no float of one or two bytes
  public static int encode(DType dtype, float value) {
    return switch (dtype) {
      case BF16 -> toBf16(value) & 0xFFFF;
      case F16 -> toF16(value) & 0xFFFF;
      case F8_E4M3FN -> toE4m3fn(value) & 0xFF;
      case F8_E4M3 -> toE4m3(value) & 0xFF;
      case F8_E5M2 -> toE5m2(value) & 0xFF;
      case F64, F32, I64, I32, I16, I8, U8, BOOL -> throw notNarrow(dtype);
    };
  }

  /// Returns a float with an odd last bit where `value` is none, so that rounding it once more, to
  /// a narrow float, is as good as rounding once.
  public static float roundedToOdd(double value) {
    float near = (float) value;
    if (near == value || Double.isNaN(value) || (Float.floatToRawIntBits(near) & 1) != 0) {
      return near;
    }
    return near < value ? Math.nextUp(near) : Math.nextDown(near);
  }

  private static IllegalArgumentException notNarrow(DType dtype) {
    return new IllegalArgumentException("not a float of one or two bytes: dtype=" + dtype);
  }

  private static float nan(byte bits) {
    return Float.intBitsToFloat(((bits & 0x80) << 24) | 0x7FC0_0000);
  }

  private static float special(byte bits, int fractionMask) {
    return (bits & fractionMask) != 0
        ? nan(bits)
        : Float.intBitsToFloat(((bits & 0x80) << 24) | F32_INFINITY);
  }

  /// Decodes a finite number.
  private static float decode(byte bits, int fractionBits, int bias) {
    int sign = (bits & 0x80) << 24;
    int exponent = (bits & 0x7F) >>> fractionBits;
    int fraction = bits & ((1 << fractionBits) - 1);
    if (exponent == 0) {
      // A multiple of the smallest number; both factors and the product are exact.
      float unit = Float.intBitsToFloat((F32_BIAS + 1 - bias - fractionBits) << F32_FRACTION_BITS);
      return Float.intBitsToFloat(sign | Float.floatToRawIntBits(fraction * unit));
    }
    return Float.intBitsToFloat(
        sign
            | ((exponent + F32_BIAS - bias) << F32_FRACTION_BITS)
            | (fraction << (F32_FRACTION_BITS - fractionBits)));
  }

  /// Encodes by integer arithmetic on the magnitude: exponent and fraction form one number whose
  /// carry is the next exponent, so rounding needs no case of its own.
  ///
  /// @param overflow pattern of the first magnitude that is not finite
  private static byte encode(float value, int fractionBits, int bias, int overflow, int nan) {
    int bits = Float.floatToRawIntBits(value);
    int sign = (bits >>> 24) & 0x80;
    int magnitude = bits & 0x7FFF_FFFF;
    if (magnitude > F32_INFINITY) {
      return (byte) (sign | nan);
    }
    int shift = F32_FRACTION_BITS - fractionBits;
    int rebias = F32_BIAS - bias;
    if (magnitude >>> F32_FRACTION_BITS > rebias) {
      int narrow = magnitude - (rebias << F32_FRACTION_BITS);
      return (byte) (sign | Math.min(roundedShift(narrow, shift), overflow));
    }
    // Below the smallest normal number: shift the whole significand to the fixed scale.
    int exponent = Math.max(1, magnitude >>> F32_FRACTION_BITS);
    int significand =
        (magnitude & ((1 << F32_FRACTION_BITS) - 1))
            | (magnitude >>> F32_FRACTION_BITS == 0 ? 0 : 1 << F32_FRACTION_BITS);
    int below = Math.min(shift + rebias + 1 - exponent, 30);
    return (byte) (sign | roundedShift(significand, below));
  }

  /// Returns `value / 2^shift`, rounded to nearest, ties to even.
  private static int roundedShift(int value, int shift) {
    return (value + (1 << (shift - 1)) - 1 + ((value >>> shift) & 1)) >>> shift;
  }
}
