// Powers of binary64 with the bits of Java's StrictMath.pow, which are those of fdlibm: every GPU and
// every version of CUDA may round its own `pow` otherwise. Sums and products round apart (--fmad=false).
//
// The algorithm, its order of operations and its constants are those of fdlibm's e_pow.c:
//
// Copyright (C) 2004 by Sun Microsystems, Inc. All rights reserved.
// Permission to use, copy, modify, and distribute this software is freely granted, provided that this
// notice is preserved.
#pragma once

#include "math.cuh"

// A number as a sum: the upper part has at most 21 significant bits below its first, so that products of two
// upper parts are exact.
struct Split {
  double high;
  double low;
};

LS_INLINE double ls_upper(double x) { return __hiloint2double(__double2hiint(x), 0); }

LS_INLINE double ls_double_of(int highWord) { return __hiloint2double(highWord, 0); }

LS_INLINE double ls_infinity64() { return ls_double_of(0x7FF00000); }

// log2(x) for |1 - x| <= 2^-20, where y is huge: by the logarithm's series.
LS_INLINE Split ls_log2_near_1(double x) {
  double t = x - 1.0;
  double w = (t * t) * (0.5 - t * (0.3333333333333333333333 - t * 0.25));
  double u = 1.44269502162933349609 * t;
  double v = t * 1.92596299112661746887e-08 - w * 1.44269504088896338700;
  Split log;
  log.high = ls_upper(u + v);
  log.low = v - (log.high - u);
  return log;
}

// log2(x) for finite x > 0: n + log2(b) + log2(x / (2^n b)) with b = 1 or 1.5, the last by a series of
// s = (x - b) / (x + b).
LS_INLINE Split ls_log2_split(double x) {
  int n = 0;
  if (__double2hiint(x) < 0x00100000) {  // subnormal
    x *= 9007199254740992.0;
    n = -53;
  }
  int word = __double2hiint(x);
  n += (word >> 20) - 0x3FF;
  int fraction = word & 0x000FFFFF;
  word = fraction | 0x3FF00000;
  bool isUpper = fraction > 0x3988E && fraction < 0xBB67A;  // between the roots of 3/2 and of 3
  if (fraction >= 0xBB67A) {
    n += 1;
    word -= 0x00100000;
  }
  x = __hiloint2double(word, __double2loint(x));
  double b = isUpper ? 1.5 : 1.0;
  double bLogHigh = isUpper ? 5.84962487220764160156e-01 : 0.0;
  double bLogLow = isUpper ? 1.35003920212974897128e-08 : 0.0;

  double u = x - b;
  double v = 1.0 / (x + b);
  double s = u * v;
  double sHigh = ls_upper(s);
  double sumHigh = ls_double_of(((word >> 1) | 0x20000000) + 0x00080000 + (isUpper ? 1 << 18 : 0));
  double sumLow = x - (sumHigh - b);
  double sLow = v * ((u - sHigh * sumHigh) - sHigh * sumLow);

  double z = s * s;
  double r = 2.06975017800338417784e-01;
  r = 2.30660745775561754067e-01 + z * r;
  r = 2.72728123808534006489e-01 + z * r;
  r = 3.33333329818377432918e-01 + z * r;
  r = 4.28571428578550184252e-01 + z * r;
  r = 5.99999999999994648725e-01 + z * r;
  r = z * z * r;
  r += sLow * (sHigh + s);
  double square = sHigh * sHigh;
  double high = ls_upper(3.0 + square + r);
  double low = r - ((high - 3.0) - square);
  u = sHigh * high;
  v = sLow * high + low * s;
  double pHigh = ls_upper(u + v);
  double pLow = v - (pHigh - u);
  // Times 2 / (3 ln 2), as a sum of two.
  double zHigh = 9.61796700954437255859e-01 * pHigh;
  double zLow = -7.02846165095275826516e-09 * pHigh + pLow * 9.61796693925975554329e-01 + bLogLow;
  double exponent = (double)n;
  Split log;
  log.high = ls_upper(((zHigh + zLow) + bLogHigh) + exponent);
  log.low = zLow - (((log.high - exponent) - bLogHigh) - zHigh);
  return log;
}

// 2^(high + low): 0 and infinity where it is beyond the least and the greatest number.
LS_INLINE double ls_exp2_split(double high, double low) {
  double sum = low + high;
  int word = __double2hiint(sum);
  int lower = __double2loint(sum);
  int magnitude = word & 0x7FFFFFFF;
  if (word >= 0x40900000) {  // 1024 or more
    bool isBeyond = word > 0x40900000 || lower != 0;
    if (isBeyond || low + 8.0085662595372944372e-17 > sum - high) return ls_infinity64();
  } else if (magnitude >= 0x4090CC00) {  // -1075 or less
    bool isBeyond = magnitude > 0x4090CC00 || lower != 0;
    if (isBeyond || low <= sum - high) return 0.0;
  }
  int n = 0;
  if (magnitude > 0x3FE00000) {  // |sum| > 1/2: its nearest whole number goes to the exponent
    int nearest = word + (0x00100000 >> ((magnitude >> 20) - 0x3FE));
    int bits = ((nearest & 0x7FFFFFFF) >> 20) - 0x3FF;
    n = ((nearest & 0x000FFFFF) | 0x00100000) >> (20 - bits);
    n = word < 0 ? -n : n;
    high -= ls_double_of(nearest & ~(0x000FFFFF >> bits));
  }
  double t = ls_upper(low + high);
  double u = t * 6.93147182464599609375e-01;
  double v = (low - (t - high)) * 6.93147180559945286227e-01 + t * -1.90465429995776804525e-09;
  double z = u + v;
  double w = v - (z - u);
  double square = z * z;
  double p = 4.13813679705723846039e-08;
  p = -1.65339022054652515390e-06 + square * p;
  p = 6.61375632143793436117e-05 + square * p;
  p = -2.77777777770155933842e-03 + square * p;
  p = 1.66666666666666019037e-01 + square * p;
  p = z - square * p;
  double r = (z * p) / (p - 2.0) - (w + z * w);
  z = 1.0 - (r - z);
  int scaled = __double2hiint(z) + n * 0x00100000;
  if ((scaled >> 20) <= 0) {  // subnormal: rounded once, by the last product
    return z * ls_double_of((n + 600 + 0x3FF) * 0x00100000) * ls_double_of((0x3FF - 600) << 20);
  }
  return __hiloint2double(scaled, __double2loint(z));
}

// x^y for x >= 0.
LS_INLINE double ls_pow(double x, double y) {
  double size = y < 0.0 ? -y : y;
  if (y == 0.0) return 1.0;
  if (x != x || y != y) return x + y;
  if (y == 2.0) return x * x;
  if (y == 1.0) return x;
  if (y == -1.0) return 1.0 / x;
  if (x == 1.0) return size == ls_infinity64() ? size - size : 1.0;
  bool isGreat = (x > 1.0) == (y > 0.0);
  if (size == ls_infinity64()) return isGreat ? size : 0.0;
  if (x == 0.0 || x == ls_infinity64()) return isGreat ? ls_infinity64() : 0.0;
  if (y == 0.5) return sqrt(x);
  Split log;
  if (size > 2147485695.9999995) {
    if (x < 0.99999952316284179688 || x > 1.0000009536743162) {
      return isGreat ? ls_infinity64() : 0.0;
    }
    log = ls_log2_near_1(x);
  } else {
    log = ls_log2_split(x);
  }
  double upper = ls_upper(y);
  return ls_exp2_split(upper * log.high, (y - upper) * log.high + y * log.low);
}
