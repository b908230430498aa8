// Layer norm over rows of float32 and its gradient; its result, and the gradient that arrives, may be
// bfloat16. A team of 16 threads per row, 8 rows per block of 128.
#include "norms.cuh"

// y = (x - mean) rstd gain + bias; the variance is the mean of squared deviations.
template <class T>
__device__ __forceinline__ void layer_norm(
    const float* x, const float* gain, const float* bias, T* y, float* mean, float* rstd, int rows,
    int width, float epsilon) {
  int row = ls_team_row();
  if (row >= rows) return;
  Row<float> from(x + (long long)row * width);
  T* to = y + (long long)row * width;
  float partial = 0.0f;
  LS_ALONG_ROW(width) {
    partial = partial + from.at(i, k);
  }
  float middle = ls_team_join(partial) / width;
  partial = 0.0f;
  LS_ALONG_ROW(width) {
    float d = from.at(i, k) - middle;
    partial = fmaf(d, d, partial);
  }
  float scale = ls_rsqrt(ls_team_join(partial) / width + epsilon);
  if (ls_team_lane() == 0) {
    mean[row] = middle;
    rstd[row] = scale;
  }
  LS_ALONG_ROW(width) {
    ls_put(to + i, fmaf((from.at(i, k) - middle) * scale, gain[i], bias[i]));
  }
}

#define LAYER_NORM(name, T)                                                                      \
  extern "C" __global__ void layer_norm_##name(                                                  \
      const float* x, const float* gain, const float* bias, T* y, float* mean, float* rstd,      \
      int rows, int width, float epsilon) {                                                      \
    layer_norm(x, gain, bias, y, mean, rstd, rows, width, epsilon);                              \
  }

LAYER_NORM(f32, float)
LAYER_NORM(bf16, unsigned short)

template <class T>
__device__ __forceinline__ void layer_norm_grad(
    const T* dy, const float* x, const float* gain, const float* mean, const float* rstd, float* dx,
    const Tail& tail, int rows, int width) {
  int row = ls_team_row();
  if (row >= rows) return;
  Row<T> slope(dy + (long long)row * width);
  Row<float> from(x + (long long)row * width);
  float partial = 0.0f;
  LS_ALONG_ROW(width) {
    partial = partial + slope.at(i, k) * gain[i];
  }
  float c1 = ls_team_join(partial) / width;
  float c2 = ls_gradient_along(slope, gain, from, mean[row], rstd[row], width);
  float* to = dx + (long long)row * width;
  ls_gradient_row(slope, gain, from, mean[row], rstd[row], c1, c2, to, tail.at((long long)row * width), width);
}

#define LAYER_NORM_GRAD(name, T)                                                                 \
  extern "C" __global__ void layer_norm_grad_##name(                                             \
      const T* dy, const float* x, const float* gain, const float* mean, const float* rstd,      \
      float* dx, const float* other, unsigned short* rounded, int rows, int width) {             \
    layer_norm_grad(dy, x, gain, mean, rstd, dx, {other, rounded}, rows, width);                 \
  }

LAYER_NORM_GRAD(f32, float)
LAYER_NORM_GRAD(bf16, unsigned short)

// dy beside the normalised x.
template <class T>
struct Deviations {
  typedef float2 Pair;
  typedef float2 Sums;
  const T* dy;
  const float* x;
  const float* mean;
  const float* rstd;
  int width;

  static __device__ __forceinline__ float2 zero() { return make_float2(0.0f, 0.0f); }

  __device__ __forceinline__ float2 load(int row, int column) const {
    long long at = (long long)row * width + column;
    return make_float2(ls_widened(dy[at]), (x[at] - mean[row]) * rstd[row]);
  }

  static __device__ __forceinline__ void add(float2 term, float2& sums) {
    sums.x = fmaf(term.x, term.y, sums.x);
    sums.y = sums.y + term.x;
  }
};

// Sums over the rows of each block, [blocks, width]: of dy normal (gain) and of dy (bias).
template <class T>
__device__ __forceinline__ void layer_norm_param_grad(
    const T* dy, const float* x, const float* mean, const float* rstd, float* partGain,
    float* partBias, int rows, int width, int outer, int blocks, float2* tile) {
  Deviations<T> source = {dy, x, mean, rstd, width};
  int block = blockIdx.y;
  float2 sums = ls_column_sum(source, Cut(rows, outer, blocks), block, width, tile);
  int column = blockIdx.x * LS_COLUMNS + threadIdx.x;
  if (threadIdx.x < LS_COLUMNS && column < width) {
    partGain[(long long)block * width + column] = sums.x;
    partBias[(long long)block * width + column] = sums.y;
  }
}

#define LAYER_NORM_PARAM_GRAD(name, T)                                                           \
  extern "C" __global__ void __launch_bounds__(256) layer_norm_param_grad_##name(                \
      const T* dy, const float* x, const float* mean, const float* rstd, float* partGain,        \
      float* partBias, int rows, int width, int outer, int blocks) {                             \
    __shared__ float2 tile[LS_TILE_ROWS * LS_COLUMNS];                                           \
    layer_norm_param_grad(                                                                       \
        dy, x, mean, rstd, partGain, partBias, rows, width, outer, blocks, tile);                \
  }

LAYER_NORM_PARAM_GRAD(f32, float)
LAYER_NORM_PARAM_GRAD(bf16, unsigned short)
