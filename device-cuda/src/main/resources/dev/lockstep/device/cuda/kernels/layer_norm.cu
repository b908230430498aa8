// Layer norm over rows of float32 and its gradient. A team of 16 threads per row, 8 rows per block
// of 128; a row is read again from the first-level cache for each of its passes.
#include "norms.cuh"

// y = (x - mean) rstd gain + bias; the variance is the mean of squared deviations.
extern "C" __global__ void layer_norm_f32(
    const float* x, const float* gain, const float* bias, float* y, float* mean, float* rstd,
    int rows, int width, float epsilon) {
  int row = ls_team_row();
  if (row >= rows) return;
  const float* from = x + (long long)row * width;
  float* to = y + (long long)row * width;
  float partial = 0.0f;
#pragma unroll 4
  for (int i = ls_team_lane(); i < width; i += LS_TEAM) {
    partial = partial + from[i];
  }
  float middle = ls_team_join(partial) / width;
  partial = 0.0f;
#pragma unroll 4
  for (int i = ls_team_lane(); i < width; i += LS_TEAM) {
    float d = from[i] - middle;
    partial = fmaf(d, d, partial);
  }
  float scale = ls_rsqrt(ls_team_join(partial) / width + epsilon);
  if (ls_team_lane() == 0) {
    mean[row] = middle;
    rstd[row] = scale;
  }
#pragma unroll 4
  for (int i = ls_team_lane(); i < width; i += LS_TEAM) {
    to[i] = fmaf((from[i] - middle) * scale, gain[i], bias[i]);
  }
}

extern "C" __global__ void layer_norm_grad_f32(
    const float* dy, const float* x, const float* gain, const float* mean, const float* rstd,
    float* dx, int rows, int width) {
  int row = ls_team_row();
  if (row >= rows) return;
  const float* slope = dy + (long long)row * width;
  const float* from = x + (long long)row * width;
  float partial = 0.0f;
#pragma unroll 4
  for (int i = ls_team_lane(); i < width; i += LS_TEAM) {
    partial = partial + slope[i] * gain[i];
  }
  float c1 = ls_team_join(partial) / width;
  float c2 = ls_gradient_along(slope, gain, from, mean[row], rstd[row], width);
  float* to = dx + (long long)row * width;
  ls_gradient_row(slope, gain, from, mean[row], rstd[row], c1, c2, to, width);
}

// dy beside the normalised x.
struct Deviations {
  typedef float2 Pair;
  typedef float2 Sums;
  const float* dy;
  const float* x;
  const float* mean;
  const float* rstd;
  int width;

  static __device__ __forceinline__ float2 zero() { return make_float2(0.0f, 0.0f); }

  __device__ __forceinline__ float2 load(int row, int column) const {
    long long at = (long long)row * width + column;
    return make_float2(dy[at], (x[at] - mean[row]) * rstd[row]);
  }

  static __device__ __forceinline__ void add(float2 term, float2& sums) {
    sums.x = fmaf(term.x, term.y, sums.x);
    sums.y = sums.y + term.x;
  }
};

// Sums over the rows of each block, [blocks, width]: of dy normal (gain) and of dy (bias).
extern "C" __global__ void __launch_bounds__(256) layer_norm_param_grad_f32(
    const float* dy, const float* x, const float* mean, const float* rstd, float* partGain,
    float* partBias, int rows, int width, int outer, int blocks) {
  __shared__ float2 tile[LS_TILE_ROWS * LS_COLUMNS];
  Deviations source = {dy, x, mean, rstd, width};
  int block = blockIdx.y;
  float2 sums = ls_column_sum(source, Cut(rows, outer, blocks), block, width, tile);
  int column = blockIdx.x * LS_COLUMNS + threadIdx.x;
  if (threadIdx.x < LS_COLUMNS && column < width) {
    partGain[(long long)block * width + column] = sums.x;
    partBias[(long long)block * width + column] = sums.y;
  }
}
