// Root-mean-square norm over rows of float32 and its gradient; see layer_norm.cu.
#include "norms.cuh"

// y = (x rstd) gain with rstd = 1 / sqrt(mean of squares + epsilon).
extern "C" __global__ void rms_norm_f32(
    const float* x, const float* gain, float* y, float* rstd, int rows, int width, float epsilon) {
  int row = ls_team_row();
  if (row >= rows) return;
  const float* from = x + (long long)row * width;
  float* to = y + (long long)row * width;
  float partial = 0.0f;
#pragma unroll 4
  for (int i = ls_team_lane(); i < width; i += LS_TEAM) {
    partial = fmaf(from[i], from[i], partial);
  }
  float scale = ls_rsqrt(ls_team_join(partial) / width + epsilon);
  if (ls_team_lane() == 0) rstd[row] = scale;
#pragma unroll 4
  for (int i = ls_team_lane(); i < width; i += LS_TEAM) {
    to[i] = (from[i] * scale) * gain[i];
  }
}

extern "C" __global__ void rms_norm_grad_f32(
    const float* dy, const float* x, const float* gain, const float* rstd, float* dx, int rows,
    int width) {
  int row = ls_team_row();
  if (row >= rows) return;
  const float* slope = dy + (long long)row * width;
  const float* from = x + (long long)row * width;
  float along = ls_gradient_along(slope, gain, from, 0.0f, rstd[row], width);
  float* to = dx + (long long)row * width;
  ls_gradient_row(slope, gain, from, 0.0f, rstd[row], 0.0f, along, to, width);
}

// dy beside the scaled x.
struct Scaled {
  typedef float2 Pair;
  typedef float Sums;
  const float* dy;
  const float* x;
  const float* rstd;
  int width;

  static __device__ __forceinline__ float zero() { return 0.0f; }

  __device__ __forceinline__ float2 load(int row, int column) const {
    long long at = (long long)row * width + column;
    return make_float2(dy[at], x[at] * rstd[row]);
  }

  static __device__ __forceinline__ void add(float2 term, float& sum) {
    sum = fmaf(term.x, term.y, sum);
  }
};

// Sums of dy normal over the rows of each block, [blocks, width].
extern "C" __global__ void __launch_bounds__(256) rms_norm_gain_grad_f32(
    const float* dy, const float* x, const float* rstd, float* partGain, int rows, int width,
    int outer, int blocks) {
  __shared__ float2 tile[LS_TILE_ROWS * LS_COLUMNS];
  Scaled source = {dy, x, rstd, width};
  int block = blockIdx.y;
  float sum = ls_column_sum(source, Cut(rows, outer, blocks), block, width, tile);
  int column = blockIdx.x * LS_COLUMNS + threadIdx.x;
  if (threadIdx.x < LS_COLUMNS && column < width) {
    partGain[(long long)block * width + column] = sum;
  }
}
