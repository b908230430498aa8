// Functions of one float32, the same operations in the same order as the CPU device's (FloatMath),
// so that results have the same bits. Multiply-adds are fused only where fmaf says so: sources are
// compiled with --fmad=false. Polynomials are those of Cephes (S. L. Moshier); within 2 ulp.
#pragma once

#define LS_INLINE static __device__ __forceinline__

LS_INLINE float ls_infinity() { return __int_as_float(0x7F800000); }

LS_INLINE float ls_nan() { return __int_as_float(0x7FC00000); }

// The greater; NaN wins, and +0 is greater than -0.
LS_INLINE float ls_max(float a, float b) {
  if (a != a) return a;
  if (b != b) return b;
  if (a == b) return __int_as_float(__float_as_int(a) & __float_as_int(b));
  return a > b ? a : b;
}

// The lesser; NaN wins, and -0 is less than +0.
LS_INLINE float ls_min(float a, float b) {
  if (a != a) return a;
  if (b != b) return b;
  if (a == b) return __int_as_float(__float_as_int(a) | __float_as_int(b));
  return a < b ? a : b;
}

LS_INLINE float ls_exp(float value) {
  float x = value;
  x = x > 89.0f ? 89.0f : x;
  x = x < -104.0f ? -104.0f : x;
  // 1.5 * 2^23: adding it rounds to the nearest integer, which then stands in the low bits.
  const float round = 12582912.0f;
  float t = fmaf(x, 1.442695f, round);
  float n = t - round;
  float r = fmaf(n, -0.6931472f, x);
  r = fmaf(n, 1.9046542e-9f, r);
  float p = fmaf(0.00019875691f, r, 0.0013981999f);
  p = fmaf(p, r, 0.008333452f);
  p = fmaf(p, r, 0.041665796f);
  p = fmaf(p, r, 0.16666666f);
  p = fmaf(p, r, 0.5f);
  p = fmaf(p, r * r, r) + 1.0f;
  // In two halves, so that results below the least normal number are rounded once.
  int exponent = __float_as_int(t) - 0x4B400000;
  int half = exponent >> 1;
  float low = __int_as_float((int)((unsigned)(half + 127) << 23));
  float high = __int_as_float((int)((unsigned)(exponent - half + 127) << 23));
  return p * low * high;
}

LS_INLINE float ls_log(float value) {
  bool subnormal = value < 1.17549435e-38f;
  float x = subnormal ? value * 8388608.0f : value;
  int bits = __float_as_int(x) - 0x3F3504F3;  // of sqrt(1/2): the fraction is centred on 1
  float e = (float)(bits >> 23) - (subnormal ? 23.0f : 0.0f);
  float f = __int_as_float((bits & 0x007FFFFF) + 0x3F3504F3) - 1.0f;
  float p = fmaf(0.070376836f, f, -0.1151461f);
  p = fmaf(p, f, 0.116769984f);
  p = fmaf(p, f, -0.12420141f);
  p = fmaf(p, f, 0.14249323f);
  p = fmaf(p, f, -0.16668057f);
  p = fmaf(p, f, 0.20000714f);
  p = fmaf(p, f, -0.24999994f);
  p = fmaf(p, f, 0.3333333f);
  float z = f * f;
  p = p * f * z;
  p = fmaf(e, -1.9046542e-9f, p);
  p = fmaf(-0.5f, z, p);
  p = fmaf(e, 0.6931472f, f + p);
  p = value == 0.0f ? -ls_infinity() : p;
  p = value == ls_infinity() ? value : p;
  return value >= 0.0f ? p : ls_nan();
}

// A polynomial near 0, by the exponential elsewhere.
LS_INLINE float ls_tanh(float x) {
  float a = fabsf(x);
  float z = x * x;
  float p = fmaf(-0.0057049887f, z, 0.020639088f);
  p = fmaf(p, z, -0.053739715f);
  p = fmaf(p, z, 0.13331442f);
  p = fmaf(p, z, -0.3333328f);
  float small = x * fmaf(p, z, 1.0f);
  float clamped = a > 10.0f ? 10.0f : a;
  float large = 1.0f - 2.0f / (ls_exp(clamped + clamped) + 1.0f);
  large = x < 0.0f ? -large : large;
  return a < 0.625f ? small : large;
}

LS_INLINE float ls_rsqrt(float x) { return 1.0f / sqrtf(x); }

// sqrt(2 / pi) and the cubic coefficient of GPT-2's GELU.
#define LS_GELU_SCALE 0.7978846f
#define LS_GELU_CUBIC 0.044715f

// 1 / (1 + e^(-2u)) with u = scale (x + cubic x^3).
LS_INLINE float ls_gelu_sigmoid(float x) {
  float u = fmaf(LS_GELU_CUBIC * x, x * x, x);
  return 1.0f / (ls_exp(u * (-2.0f * LS_GELU_SCALE)) + 1.0f);
}

// 0.5 x (1 + tanh(u)), as x sigmoid(2u).
LS_INLINE float ls_gelu(float x) { return x * ls_gelu_sigmoid(x); }

LS_INLINE float ls_gelu_grad(float dy, float x) {
  float s = ls_gelu_sigmoid(x);
  float slope = fmaf((3.0f * LS_GELU_CUBIC) * x, x, 1.0f) * (2.0f * LS_GELU_SCALE);
  slope = slope > 3.4028235e38f ? 3.4028235e38f : slope;  // what it multiplies is 0 by then
  float inner = (x * s) * (1.0f - s);
  return dy * fmaf(inner, slope, s);
}

LS_INLINE float ls_sigmoid(float x) { return 1.0f / (ls_exp(-x) + 1.0f); }

LS_INLINE float ls_silu(float x) { return x * ls_sigmoid(x); }

LS_INLINE float ls_silu_grad(float dy, float x) {
  float s = ls_sigmoid(x);
  return dy * fmaf(x * s, 1.0f - s, s);
}
