package dev.lockstep.graph;

import dev.lockstep.tensor.DType;

/// Rounds float64 numbers to the values that an element type can hold, to nearest even; whole
/// numbers stay within their type, and NaN becomes 0 there.
final class Rounding {
  private Rounding() {}

  /// F64 and F32 stay as they are: the reference computes both in float64.
  static double round(double x, DType to) {
    return switch (to) {
      case F64, F32 -> x;
      case BF16 -> round(x, 8, -126, 0x1.FEp127, true);
      case F16 -> round(x, 11, -14, 65_504, true);
      case F8_E4M3FN -> round(x, 4, -6, 448, false);
      case F8_E4M3 -> round(x, 4, -6, 240, true);
      case F8_E5M2 -> round(x, 3, -14, 57_344, true);
      case I64 -> (long) Math.rint(x);
      case I32 -> (int) Math.rint(x);
      case I16 -> Math.clamp((long) Math.rint(x), Short.MIN_VALUE, Short.MAX_VALUE);
      case I8 -> Math.clamp((long) Math.rint(x), Byte.MIN_VALUE, Byte.MAX_VALUE);
      case U8 -> Math.clamp((long) Math.rint(x), 0, 255);
      case BOOL -> x == 0 ? 0 : 1;
    };
  }

  /// @param precision bits of the significand, the hidden one included
  /// @param least exponent of the least normal number
  private static double round(
      double x, int precision, int least, double greatest, boolean hasInfinity) {
    if (x == 0 || Double.isNaN(x) || Double.isInfinite(x)) {
      return Double.isInfinite(x) && !hasInfinity ? Double.NaN : x;
    }
    int exponent = Math.max(Math.getExponent(x), least);
    double quantum = Math.scalb(1.0, exponent - precision + 1);
    double rounded = Math.rint(x / quantum) * quantum;
    if (Math.abs(rounded) <= greatest) {
      return rounded;
    }
    return hasInfinity ? Math.copySign(Double.POSITIVE_INFINITY, x) : Double.NaN;
  }
}
