// Elements of cudaDataType as floats, by arithmetic on exponents: written apart from the kernels'
// codecs, so that one can check the other.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

enum : int { R_32F = 0, R_64F = 1, R_16F = 2, R_16BF = 14, R_8F_E4M3 = 28, R_8F_E5M2 = 29 };

struct Format {
  int exponentBits;
  int fractionBits;
  bool infinite;
};

inline bool isNarrow(int type, Format& format) {
  switch (type) {
    case R_16F: format = {5, 10, true}; return true;
    case R_16BF: format = {8, 7, true}; return true;
    case R_8F_E4M3: format = {4, 3, false}; return true;
    case R_8F_E5M2: format = {5, 2, true}; return true;
    default: return false;
  }
}

inline size_t sizeOf(int type) {
  Format format;
  if (isNarrow(type, format)) return (size_t)(1 + format.exponentBits + format.fractionBits) / 8;
  return type == R_32F ? 4 : type == R_64F ? 8 : 0;
}

inline float decode(const Format& format, unsigned bits) {
  int f = format.fractionBits;
  int bias = (1 << (format.exponentBits - 1)) - 1;
  unsigned fraction = bits & ((1u << f) - 1);
  int exponent = (int)(bits >> f) & ((1 << format.exponentBits) - 1);
  bool negative = (bits >> (f + format.exponentBits)) & 1;
  int top = (1 << format.exponentBits) - 1;
  double value;
  if (exponent == top && format.infinite) {
    value = fraction ? NAN : INFINITY;
  } else if (exponent == top && fraction == (1u << f) - 1) {
    value = NAN;
  } else {
    value = exponent == 0 ? std::ldexp((double)fraction, 1 - bias - f)
                          : std::ldexp(1 + std::ldexp((double)fraction, -f), exponent - bias);
  }
  return (float)(negative ? -value : value);
}

inline unsigned encode(const Format& format, float value) {
  int f = format.fractionBits;
  int bias = (1 << (format.exponentBits - 1)) - 1;
  unsigned sign = (std::signbit(value) ? 1u : 0u) << (f + format.exponentBits);
  unsigned top = ((1u << format.exponentBits) - 1) << f;
  unsigned nan = top | ((1u << f) - 1);
  if (std::isnan(value)) return sign | nan;
  double magnitude = std::fabs((double)value);
  if (magnitude == 0) return sign;
  int exponent = std::isinf(magnitude) ? 1 << 20 : std::ilogb(magnitude);
  int least = 1 - bias;
  int scale = exponent < least ? least : exponent;
  double steps = std::isinf(magnitude) ? 0 : std::nearbyint(std::ldexp(magnitude, f - scale));
  long long pattern =
      ((long long)(scale - least) << f) + (long long)steps;
  unsigned first = format.infinite ? top : nan;  // of what is not finite
  return sign | (std::isinf(magnitude) || pattern >= (long long)first ? first : (unsigned)pattern);
}

inline float loadElement(int type, const void* at, int64_t i) {
  Format format;
  if (isNarrow(type, format)) {
    unsigned bits = sizeOf(type) == 2 ? ((const uint16_t*)at)[i] : ((const uint8_t*)at)[i];
    return decode(format, bits);
  }
  return type == R_64F ? (float)((const double*)at)[i] : ((const float*)at)[i];
}

inline void storeElement(int type, void* at, int64_t i, float value) {
  Format format;
  if (isNarrow(type, format)) {
    unsigned bits = encode(format, value);
    if (sizeOf(type) == 2) {
      ((uint16_t*)at)[i] = (uint16_t)bits;
    } else {
      ((uint8_t*)at)[i] = (uint8_t)bits;
    }
  } else if (type == R_64F) {
    ((double*)at)[i] = value;
  } else {
    ((float*)at)[i] = value;
  }
}
