package dev.lockstep.device.cpu;

/// Exponential, logarithm and hyperbolic tangent of float32, within 2 ulp, one number at a time.
///
/// The vector kernels perform the same operations in the same order, so that results have the same
/// bits whatever path computed them. Polynomials are those of Cephes (S. L. Moshier), evaluated
/// with fused multiply-adds.
final class FloatMath {
  static final float LOG2_E = 1.442695f;
  static final float LN2_HIGH = 0.6931472f;
  static final float LN2_LOW = -1.9046542e-9f;

  /// 1.5 * 2^23: adding it rounds to the nearest integer, which then stands in the low bits.
  static final float ROUND = 12582912f;

  static final int ROUND_BITS = 0x4B400000;

  /// Beyond these the result is infinity or 0 whatever the rest.
  static final float EXP_MAX = 89f;

  static final float EXP_MIN = -104f;
  static final float E0 = 0.00019875691f;
  static final float E1 = 0.0013981999f;
  static final float E2 = 0.008333452f;
  static final float E3 = 0.041665796f;
  static final float E4 = 0.16666666f;
  static final float E5 = 0.5f;

  static final float TWO_23 = 8388608f;
  static final int SQRT_HALF_BITS = 0x3F3504F3;
  static final float L0 = 0.070376836f;
  static final float L1 = -0.1151461f;
  static final float L2 = 0.116769984f;
  static final float L3 = -0.12420141f;
  static final float L4 = 0.14249323f;
  static final float L5 = -0.16668057f;
  static final float L6 = 0.20000714f;
  static final float L7 = -0.24999994f;
  static final float L8 = 0.3333333f;

  /// Below this a polynomial, above it the exponential.
  static final float TANH_SMALL = 0.625f;

  static final float TANH_MAX = 10f;
  static final float T0 = -0.0057049887f;
  static final float T1 = 0.020639088f;
  static final float T2 = -0.053739715f;
  static final float T3 = 0.13331442f;
  static final float T4 = -0.3333328f;

  /// `sqrt(2 / π)` and the cubic coefficient of GPT-2's GELU.
  static final float GELU_SCALE = 0.7978846f;

  static final float GELU_CUBIC = 0.044715f;
  static final float GELU_SLOPE = 3 * GELU_CUBIC;

  private FloatMath() {}

  static float exp(float value) {
    float x = value;
    x = x > EXP_MAX ? EXP_MAX : x;
    x = x < EXP_MIN ? EXP_MIN : x;
    float t = Math.fma(x, LOG2_E, ROUND);
    float n = t - ROUND;
    float r = Math.fma(n, -LN2_HIGH, x);
    r = Math.fma(n, -LN2_LOW, r);
    float p = Math.fma(E0, r, E1);
    p = Math.fma(p, r, E2);
    p = Math.fma(p, r, E3);
    p = Math.fma(p, r, E4);
    p = Math.fma(p, r, E5);
    p = Math.fma(p, r * r, r) + 1f;
    int exponent = Float.floatToRawIntBits(t) - ROUND_BITS;
    int half = exponent >> 1;
    float low = Float.intBitsToFloat((half + 127) << 23);
    float high = Float.intBitsToFloat((exponent - half + 127) << 23);
    return p * low * high;
  }

  static float log(float value) {
    boolean subnormal = value < Float.MIN_NORMAL;
    float x = subnormal ? value * TWO_23 : value;
    int bits = Float.floatToRawIntBits(x) - SQRT_HALF_BITS;
    float e = (bits >> 23) - (subnormal ? 23f : 0f);
    float f = Float.intBitsToFloat((bits & 0x007FFFFF) + SQRT_HALF_BITS) - 1f;
    float p = Math.fma(L0, f, L1);
    p = Math.fma(p, f, L2);
    p = Math.fma(p, f, L3);
    p = Math.fma(p, f, L4);
    p = Math.fma(p, f, L5);
    p = Math.fma(p, f, L6);
    p = Math.fma(p, f, L7);
    p = Math.fma(p, f, L8);
    float z = f * f;
    p = p * f * z;
    p = Math.fma(e, LN2_LOW, p);
    p = Math.fma(-0.5f, z, p);
    p = Math.fma(e, LN2_HIGH, f + p);
    p = value == 0f ? Float.NEGATIVE_INFINITY : p;
    p = value == Float.POSITIVE_INFINITY ? value : p;
    return value >= 0f ? p : Float.NaN;
  }

  static float tanh(float x) {
    float a = Math.abs(x);
    float z = x * x;
    float p = Math.fma(T0, z, T1);
    p = Math.fma(p, z, T2);
    p = Math.fma(p, z, T3);
    p = Math.fma(p, z, T4);
    float small = x * Math.fma(p, z, 1f);
    float clamped = a > TANH_MAX ? TANH_MAX : a;
    float large = 1f - 2f / (exp(clamped + clamped) + 1f);
    large = x < 0f ? -large : large;
    return a < TANH_SMALL ? small : large;
  }

  /// GPT-2's GELU as `x · sigmoid(2u)`, which is `0.5 x (1 + tanh(u))` with `u = scale (x + cubic
  /// x³)`.
  static float gelu(float x) {
    return x * sigmoid2(x);
  }

  static float geluGrad(float dy, float x) {
    float s = sigmoid2(x);
    float slope = Math.fma(GELU_SLOPE * x, x, 1f) * (2f * GELU_SCALE);
    slope = slope > Float.MAX_VALUE ? Float.MAX_VALUE : slope; // what it multiplies is 0 by then
    float inner = (x * s) * (1f - s);
    return dy * Math.fma(inner, slope, s);
  }

  static float silu(float x) {
    return x * sigmoid(x);
  }

  static float siluGrad(float dy, float x) {
    float s = sigmoid(x);
    return dy * Math.fma(x * s, 1f - s, s);
  }

  /// The gradient of `silu(gate) · up` by `gate`; that by `up` is `dy · silu(gate)`.
  static float gateGrad(float dy, float gate, float up) {
    return siluGrad(dy * up, gate);
  }

  private static float sigmoid(float x) {
    return 1f / (exp(-x) + 1f);
  }

  private static float sigmoid2(float x) {
    float u = Math.fma(GELU_CUBIC * x, x * x, x);
    return 1f / (exp(u * (-2f * GELU_SCALE)) + 1f);
  }
}
