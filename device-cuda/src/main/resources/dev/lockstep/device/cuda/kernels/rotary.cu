// Rotary position embedding of [batch, tokens, heads, size]: turns the pair of features
// (i, i + size/2) of each head by the angle position * base^(-2i / size).
#include "grid.cuh"
#include "math.cuh"
#include "powers.cuh"

// Taylor's polynomials for |x| <= pi/4, to 1e-16.
LS_INLINE double sine(double x) {
  double z = x * x;
  double p = fma(z, -1 / 1307674368000.0, 1 / 6227020800.0);
  p = fma(z, p, -1 / 39916800.0);
  p = fma(z, p, 1 / 362880.0);
  p = fma(z, p, -1 / 5040.0);
  p = fma(z, p, 1 / 120.0);
  p = fma(z, p, -1 / 6.0);
  return fma(x * z, p, x);
}

LS_INLINE double cosine(double x) {
  double z = x * x;
  double p = fma(z, 1 / 20922789888000.0, -1 / 87178291200.0);
  p = fma(z, p, 1 / 479001600.0);
  p = fma(z, p, -1 / 3628800.0);
  p = fma(z, p, 1 / 40320.0);
  p = fma(z, p, -1 / 720.0);
  p = fma(z, p, 1 / 24.0);
  p = fma(z, p, -0.5);
  return fma(z, p, 1.0);
}

// table[token]: size/2 cosines, then size/2 sines, made in binary64 and rounded once.
extern "C" __global__ void rotary_table_f32(
    float* table, double base, int size, int tokens, long long firstPosition, int inverse) {
  int half = size / 2;
  long long n = (long long)tokens * half;
  for (long long i = LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {
    int pair = (int)(i % half);
    long long token = i / half;
    double angle = (double)(firstPosition + token) * ls_pow(base, -2.0 * pair / size);
    // Quarter turns off, pi/2 as a sum of two: the first has 33 bits, so its products are exact.
    double quarters = rint(angle * 0.63661977236758134308);
    double r = fma(-quarters, 1.5707963267341256, angle);
    r = fma(-quarters, 6.077100506506192e-11, r);
    float s = (float)sine(r);
    float c = (float)cosine(r);
    int quadrant = (int)((long long)quarters & 3);
    float turnedC = (quadrant & 1) == 0 ? c : s;
    float turnedS = (quadrant & 1) == 0 ? s : c;
    turnedC = quadrant == 1 || quadrant == 2 ? -turnedC : turnedC;
    turnedS = quadrant >= 2 ? -turnedS : turnedS;
    table[token * size + pair] = turnedC;
    table[token * size + half + pair] = inverse ? -turnedS : turnedS;
  }
}

template <class Index>
__device__ __forceinline__ void rotate(
    const float* x, const float* table, float* out, Index n, unsigned tokens, unsigned heads,
    unsigned half) {
  for (Index i = (Index)LS_GRID_INDEX; i < n; i += (Index)LS_GRID_STRIDE) {
    Index row = i / half;
    unsigned pair = (unsigned)(i - row * half);
    const float* angles = table + (long long)(row / heads % tokens) * (2 * half);
    float c = angles[pair];
    float s = angles[half + pair];
    long long at = (long long)row * (2 * half) + pair;
    float a = x[at];
    float b = x[at + half];
    out[at] = fmaf(a, c, -(b * s));
    out[at + half] = fmaf(b, c, a * s);
  }
}

// In place allowed.
extern "C" __global__ void rotary_f32(
    const float* x, const float* table, float* out, int batch, int tokens, int heads, int size) {
  long long n = (long long)batch * tokens * heads * (size / 2);
  if (LS_IS_SMALL(n)) {
    rotate<unsigned>(x, table, out, n, tokens, heads, size / 2);
  } else {
    rotate<unsigned long long>(x, table, out, n, tokens, heads, size / 2);
  }
}
