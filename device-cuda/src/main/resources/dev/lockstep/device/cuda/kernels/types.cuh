// The element types by number, and exact codecs: decoding is exact, encoding rounds to nearest even
// (NarrowFloat). What passes a format's largest number becomes infinity, or NaN where the format has
// none; nothing saturates.
#pragma once

#include "math.cuh"

enum Type {
  F64 = 0,
  F32 = 1,
  BF16 = 2,
  F16 = 3,
  E4M3FN = 4,
  E4M3 = 5,
  E5M2 = 6,
  I64 = 7,
  I32 = 8,
  I16 = 9,
  I8 = 10,
  U8 = 11,
  BOOLEAN = 12
};

LS_INLINE bool ls_is_float(int type) { return type <= E5M2; }

LS_INLINE float ls_from_bf16(unsigned short bits) {
  return __int_as_float((int)((unsigned)bits << 16));
}

LS_INLINE unsigned short ls_to_bf16(float value) {
  unsigned bits = (unsigned)__float_as_int(value);
  if (value != value) return (unsigned short)((bits >> 16) | 0x40);  // quiet: stays a NaN
  return (unsigned short)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// value / 2^shift, rounded to nearest even; shift from 1 to 30.
LS_INLINE unsigned ls_rounded_shift(unsigned value, int shift) {
  return (value + (1u << (shift - 1)) - 1 + ((value >> shift) & 1)) >> shift;
}

// Magnitude bits of a float of `fraction` fraction bits and exponent bias `bias`: exponent and
// fraction form one number whose carry is the next exponent, so rounding needs no case of its own.
// `overflow` is the pattern of the first magnitude that is not finite.
LS_INLINE unsigned ls_encode(float value, int fraction, int bias, unsigned overflow, unsigned nan) {
  unsigned magnitude = (unsigned)__float_as_int(value) & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return nan;
  int shift = 23 - fraction;
  int rebias = 127 - bias;
  if ((int)(magnitude >> 23) > rebias) {
    unsigned narrow = ls_rounded_shift(magnitude - ((unsigned)rebias << 23), shift);
    return narrow < overflow ? narrow : overflow;
  }
  // Below the smallest normal number: shift the whole significand to the fixed scale.
  int exponent = (int)(magnitude >> 23);
  unsigned significand = (magnitude & 0x7FFFFFu) | (exponent == 0 ? 0u : 0x800000u);
  exponent = exponent < 1 ? 1 : exponent;
  int below = shift + rebias + 1 - exponent;
  return ls_rounded_shift(significand, below < 30 ? below : 30);
}

// The finite number with these magnitude bits.
LS_INLINE float ls_decode(unsigned bits, int fraction, int bias, unsigned sign) {
  unsigned exponent = bits >> fraction;
  unsigned significand = bits & ((1u << fraction) - 1);
  if (exponent == 0) {
    // A multiple of the smallest number; both factors and the product are exact.
    float unit = __int_as_float((127 + 1 - bias - fraction) << 23);
    return __int_as_float((int)(sign | (unsigned)__float_as_int((float)significand * unit)));
  }
  unsigned wide = ((exponent + 127 - bias) << 23) | (significand << (23 - fraction));
  return __int_as_float((int)(sign | wide));
}

LS_INLINE unsigned ls_sign(float value, int from, unsigned to) {
  return ((unsigned)__float_as_int(value) >> from) & to;
}

LS_INLINE float ls_signed_nan(unsigned sign) { return __int_as_float((int)(sign | 0x7FC00000u)); }

LS_INLINE float ls_from_f16(unsigned short bits) {
  unsigned sign = ((unsigned)bits & 0x8000u) << 16;
  unsigned magnitude = bits & 0x7FFFu;
  if (magnitude > 0x7C00u) return __int_as_float((int)(sign | 0x7FC00000u | (magnitude & 0x3FF) << 13));
  if (magnitude == 0x7C00u) return __int_as_float((int)(sign | 0x7F800000u));
  return ls_decode(magnitude, 10, 15, sign);
}

LS_INLINE unsigned short ls_to_f16(float value) {
  unsigned nan = 0x7E00u | (((unsigned)__float_as_int(value) >> 13) & 0x3FFu);
  return (unsigned short)(ls_sign(value, 16, 0x8000u) | ls_encode(value, 10, 15, 0x7C00u, nan));
}

LS_INLINE float ls_from_e4m3fn(unsigned char bits) {
  unsigned sign = ((unsigned)bits & 0x80u) << 24;
  return (bits & 0x7F) == 0x7F ? ls_signed_nan(sign) : ls_decode(bits & 0x7Fu, 3, 7, sign);
}

LS_INLINE unsigned char ls_to_e4m3fn(float value) {
  return (unsigned char)(ls_sign(value, 24, 0x80u) | ls_encode(value, 3, 7, 0x7Fu, 0x7Fu));
}

LS_INLINE float ls_from_e4m3(unsigned char bits) {
  unsigned sign = ((unsigned)bits & 0x80u) << 24;
  if ((bits & 0x78) != 0x78) return ls_decode(bits & 0x7Fu, 3, 7, sign);
  return (bits & 7) != 0 ? ls_signed_nan(sign) : __int_as_float((int)(sign | 0x7F800000u));
}

LS_INLINE unsigned char ls_to_e4m3(float value) {
  return (unsigned char)(ls_sign(value, 24, 0x80u) | ls_encode(value, 3, 7, 0x78u, 0x7Cu));
}

LS_INLINE float ls_from_e5m2(unsigned char bits) {
  unsigned sign = ((unsigned)bits & 0x80u) << 24;
  if ((bits & 0x7C) != 0x7C) return ls_decode(bits & 0x7Fu, 2, 15, sign);
  return (bits & 3) != 0 ? ls_signed_nan(sign) : __int_as_float((int)(sign | 0x7F800000u));
}

LS_INLINE unsigned char ls_to_e5m2(float value) {
  return (unsigned char)(ls_sign(value, 24, 0x80u) | ls_encode(value, 2, 15, 0x7Cu, 0x7Eu));
}

LS_INLINE long long ls_whole(int type, const void* x, long long i) {
  switch (type) {
    case I64: return ((const long long*)x)[i];
    case I32: return ((const int*)x)[i];
    case I16: return ((const short*)x)[i];
    case U8: return ((const unsigned char*)x)[i];
    default: return ((const signed char*)x)[i];
  }
}

// Rounds to a float whose last bit is odd where it is not exact: what lies below that bit is
// gathered in it, so that rounding once more is as good as rounding once.
LS_INLINE float ls_odd_whole(long long value) {
  unsigned long long magnitude = (unsigned long long)value;
  if (value < 0) magnitude = 0 - magnitude;
  int below = 0;
  while (magnitude >> below >> 24 != 0) below++;
  unsigned long long kept = magnitude >> below;
  if (kept << below != magnitude) kept |= 1;
  float wide = (float)kept * __int_as_float((127 + below) << 23);
  return value < 0 ? -wide : wide;
}

// Keeps the low bits; a float type gets the nearest number, ties to even.
LS_INLINE void ls_store_whole(int type, void* x, long long i, long long value) {
  switch (type) {
    case F64: ((double*)x)[i] = (double)value; break;
    case F32: ((float*)x)[i] = (float)value; break;
    case BF16: ((unsigned short*)x)[i] = ls_to_bf16(ls_odd_whole(value)); break;
    case F16: ((unsigned short*)x)[i] = ls_to_f16(ls_odd_whole(value)); break;
    case E4M3FN: ((unsigned char*)x)[i] = ls_to_e4m3fn(ls_odd_whole(value)); break;
    case E4M3: ((unsigned char*)x)[i] = ls_to_e4m3(ls_odd_whole(value)); break;
    case E5M2: ((unsigned char*)x)[i] = ls_to_e5m2(ls_odd_whole(value)); break;
    case I64: ((long long*)x)[i] = value; break;
    case I32: ((int*)x)[i] = (int)value; break;
    case I16: ((short*)x)[i] = (short)value; break;
    case BOOLEAN: ((unsigned char*)x)[i] = value != 0; break;
    default: ((unsigned char*)x)[i] = (unsigned char)value;
  }
}

LS_INLINE double ls_load(int type, const void* x, long long i) {
  switch (type) {
    case F64: return ((const double*)x)[i];
    case F32: return ((const float*)x)[i];
    case BF16: return ls_from_bf16(((const unsigned short*)x)[i]);
    case F16: return ls_from_f16(((const unsigned short*)x)[i]);
    case E4M3FN: return ls_from_e4m3fn(((const unsigned char*)x)[i]);
    case E4M3: return ls_from_e4m3(((const unsigned char*)x)[i]);
    case E5M2: return ls_from_e5m2(((const unsigned char*)x)[i]);
    default: return (double)ls_whole(type, x, i);
  }
}

// Rounds to a float whose last bit is odd where it is not exact, so that rounding once more is as
// good as rounding once.
LS_INLINE float ls_odd(double value) {
  float near = (float)value;
  int bits = __float_as_int(near);
  if ((double)near == value || value != value || (bits & 1) != 0) return near;
  bool away = ((double)near < value) == (value > 0);  // from zero
  return __int_as_float(away ? bits + 1 : bits - 1);
}

// Rounds to nearest even and stays within [least, greatest]; NaN becomes 0.
LS_INLINE long long ls_clamped(double value, long long least, long long greatest) {
  if (value != value) return 0;
  double rounded = rint(value);
  if (rounded <= (double)least) return least;
  if (rounded >= (double)greatest) return greatest;
  return (long long)rounded;
}

// Elements that are float32 or bfloat16, whose bits stand in 16-bit words.
LS_INLINE float ls_widened(float x) { return x; }

LS_INLINE float ls_widened(unsigned short x) { return ls_from_bf16(x); }

LS_INLINE void ls_put(float* to, float x) { *to = x; }

LS_INLINE void ls_put(unsigned short* to, float x) { *to = ls_to_bf16(x); }

LS_INLINE void ls_store(int type, void* x, long long i, double value) {
  switch (type) {
    case F64: ((double*)x)[i] = value; break;
    case F32: ((float*)x)[i] = (float)value; break;
    case BF16: ((unsigned short*)x)[i] = ls_to_bf16(ls_odd(value)); break;
    case F16: ((unsigned short*)x)[i] = ls_to_f16(ls_odd(value)); break;
    case E4M3FN: ((unsigned char*)x)[i] = ls_to_e4m3fn(ls_odd(value)); break;
    case E4M3: ((unsigned char*)x)[i] = ls_to_e4m3(ls_odd(value)); break;
    case E5M2: ((unsigned char*)x)[i] = ls_to_e5m2(ls_odd(value)); break;
    case I64:
      ((long long*)x)[i] = ls_clamped(value, -0x7FFFFFFFFFFFFFFFLL - 1, 0x7FFFFFFFFFFFFFFFLL);
      break;
    case I32: ((int*)x)[i] = (int)ls_clamped(value, -2147483648LL, 2147483647LL); break;
    case I16: ((short*)x)[i] = (short)ls_clamped(value, -32768, 32767); break;
    case I8: ((signed char*)x)[i] = (signed char)ls_clamped(value, -128, 127); break;
    case U8: ((unsigned char*)x)[i] = (unsigned char)ls_clamped(value, 0, 255); break;
    default: ((unsigned char*)x)[i] = value != 0;
  }
}
