package dev.lockstep.device.cpu;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;

/// Single elements of every type, as `double` or as `long`.
final class Numbers {
  private Numbers() {}

  static double load(DType dtype, long base, long i) {
    return switch (dtype) {
      case F64 -> Double.longBitsToDouble(Memory.i64(base + i * 8));
      case F32 -> Memory.f32(base + i * 4);
      case BF16 -> NarrowFloat.fromBf16(Memory.i16(base + i * 2));
      case F16 -> NarrowFloat.fromF16(Memory.i16(base + i * 2));
      case F8_E4M3FN -> NarrowFloat.fromE4m3fn(Memory.i8(base + i));
      case F8_E4M3 -> NarrowFloat.fromE4m3(Memory.i8(base + i));
      case F8_E5M2 -> NarrowFloat.fromE5m2(Memory.i8(base + i));
      case I64, I32, I16, I8, U8, BOOL -> (double) loadWhole(dtype, base, i);
    };
  }

  /// Rounds to nearest even; a whole number stays within its type, NaN becomes 0.
  static void store(DType dtype, long base, long i, double value) {
    switch (dtype) {
      case F64 -> Memory.i64(base + i * 8, Double.doubleToRawLongBits(value));
      case F32 -> Memory.f32(base + i * 4, (float) value);
      case BF16 -> Memory.i16(base + i * 2, NarrowFloat.toBf16(NarrowFloat.roundedToOdd(value)));
      case F16 -> Memory.i16(base + i * 2, NarrowFloat.toF16(NarrowFloat.roundedToOdd(value)));
      case F8_E4M3FN -> Memory.i8(base + i, NarrowFloat.toE4m3fn(NarrowFloat.roundedToOdd(value)));
      case F8_E4M3 -> Memory.i8(base + i, NarrowFloat.toE4m3(NarrowFloat.roundedToOdd(value)));
      case F8_E5M2 -> Memory.i8(base + i, NarrowFloat.toE5m2(NarrowFloat.roundedToOdd(value)));
      case I64 -> Memory.i64(base + i * 8, (long) Math.rint(value));
      case I32 -> Memory.i32(base + i * 4, (int) Math.rint(value));
      case I16 ->
          Memory.i16(base + i * 2, (short) Math.clamp((long) Math.rint(value), -32_768, 32_767));
      case I8 -> Memory.i8(base + i, (byte) Math.clamp((long) Math.rint(value), -128, 127));
      case U8 -> Memory.i8(base + i, (byte) Math.clamp((long) Math.rint(value), 0, 255));
      case BOOL -> Memory.i8(base + i, (byte) (value != 0 ? 1 : 0));
    }
  }

  static long loadWhole(DType dtype, long base, long i) {
    return switch (dtype) {
      case I64 -> Memory.i64(base + i * 8);
      case I32 -> Memory.i32(base + i * 4);
      case I16 -> Memory.i16(base + i * 2);
      case I8, BOOL -> Memory.i8(base + i);
      case U8 -> Memory.i8(base + i) & 0xFF;
      case F64, F32, BF16, F16, F8_E4M3FN, F8_E4M3, F8_E5M2 -> (long) load(dtype, base, i);
    };
  }

  /// The same of a whole number: what lies below a float's last bit is gathered in it.
  private static float odd(long value) {
    long magnitude = Math.abs(value); // the least number's are its own bits, read without a sign
    int below = Math.max(0, Long.SIZE - 24 - Long.numberOfLeadingZeros(magnitude));
    long kept = magnitude >>> below;
    if (kept << below != magnitude) {
      kept |= 1;
    }
    return (value < 0 ? -kept : kept) * (float) (1L << below);
  }

  /// Keeps the low bits; a float type gets the nearest number, ties to even.
  static void storeWhole(DType dtype, long base, long i, long value) {
    switch (dtype) {
      case I64 -> Memory.i64(base + i * 8, value);
      case I32 -> Memory.i32(base + i * 4, (int) value);
      case I16 -> Memory.i16(base + i * 2, (short) value);
      case I8, U8 -> Memory.i8(base + i, (byte) value);
      case BOOL -> Memory.i8(base + i, (byte) (value != 0 ? 1 : 0));
      case F64 -> Memory.i64(base + i * 8, Double.doubleToRawLongBits((double) value));
      case F32 -> Memory.f32(base + i * 4, (float) value);
      case BF16 -> Memory.i16(base + i * 2, NarrowFloat.toBf16(odd(value)));
      case F16 -> Memory.i16(base + i * 2, NarrowFloat.toF16(odd(value)));
      case F8_E4M3FN -> Memory.i8(base + i, NarrowFloat.toE4m3fn(odd(value)));
      case F8_E4M3 -> Memory.i8(base + i, NarrowFloat.toE4m3(odd(value)));
      case F8_E5M2 -> Memory.i8(base + i, NarrowFloat.toE5m2(odd(value)));
    }
  }

  /// The least number of a whole-number type.
  static long least(DType dtype) {
    return switch (dtype) {
      case I64 -> Long.MIN_VALUE;
      case I32 -> Integer.MIN_VALUE;
      case I16 -> Short.MIN_VALUE;
      case I8 -> Byte.MIN_VALUE;
      case U8, BOOL -> 0;
      case F64, F32, BF16, F16, F8_E4M3FN, F8_E4M3, F8_E5M2 ->
          throw new IllegalArgumentException("not a type of whole numbers: dtype=" + dtype);
    };
  }

  /// Copies one element of `bytes` bytes.
  static void move(int bytes, long from, long to) {
    switch (bytes) {
      case 8 -> Memory.i64(to, Memory.i64(from));
      case 4 -> Memory.i32(to, Memory.i32(from));
      case 2 -> Memory.i16(to, Memory.i16(from));
      default -> Memory.i8(to, Memory.i8(from));
    }
  }

  /// Whole-number arithmetic; a division by zero is 0.
  static long of(ElementKernels.Binary op, long a, long b) {
    return switch (op) {
      case ADD -> a + b;
      case SUB -> a - b;
      case MUL -> a * b;
      case DIV -> b == 0 ? 0 : a / b;
      case MAX -> Math.max(a, b);
      case MIN -> Math.min(a, b);
      case GELU_GRAD, SILU_GRAD, SWIGLU ->
          throw new IllegalArgumentException("no whole-number form: op=" + op);
    };
  }
}
