// Root-mean-square norm over rows of float32 and its gradient; see layer_norm.cu.
#include "norms.cuh"

// y = (x rstd) gain with rstd = 1 / sqrt(mean of squares + epsilon).
template <class T>
__device__ __forceinline__ void rms_norm(
    const float* x, const float* gain, T* y, float* rstd, int rows, int width, float epsilon) {
  int row = ls_team_row();
  if (row >= rows) return;
  Row<float> from(x + (long long)row * width);
  T* to = y + (long long)row * width;
  float partial = 0.0f;
  LS_ALONG_ROW(width) {
    partial = fmaf(from.at(i, k), from.at(i, k), partial);
  }
  float scale = ls_rsqrt(ls_team_join(partial) / width + epsilon);
  if (ls_team_lane() == 0) rstd[row] = scale;
  LS_ALONG_ROW(width) {
    ls_put(to + i, (from.at(i, k) * scale) * gain[i]);
  }
}

#define RMS_NORM(name, T)                                                                        \
  extern "C" __global__ void rms_norm_##name(                                                    \
      const float* x, const float* gain, T* y, float* rstd, int rows, int width,                 \
      float epsilon) {                                                                           \
    rms_norm(x, gain, y, rstd, rows, width, epsilon);                                            \
  }

RMS_NORM(f32, float)
RMS_NORM(bf16, unsigned short)

template <class T>
__device__ __forceinline__ void rms_norm_grad(
    const T* dy, const float* x, const float* gain, const float* rstd, float* dx,
    const Tail& tail, int rows, int width) {
  int row = ls_team_row();
  if (row >= rows) return;
  Row<T> slope(dy + (long long)row * width);
  Row<float> from(x + (long long)row * width);
  float along = ls_gradient_along(slope, gain, from, 0.0f, rstd[row], width);
  float* to = dx + (long long)row * width;
  ls_gradient_row(slope, gain, from, 0.0f, rstd[row], 0.0f, along, to, tail.at((long long)row * width), width);
}

#define RMS_NORM_GRAD(name, T)                                                                   \
  extern "C" __global__ void rms_norm_grad_##name(                                               \
      const T* dy, const float* x, const float* gain, const float* rstd, float* dx,              \
      const float* other, unsigned short* rounded, int rows, int width) {                        \
    rms_norm_grad(dy, x, gain, rstd, dx, {other, rounded}, rows, width);                         \
  }

RMS_NORM_GRAD(f32, float)
RMS_NORM_GRAD(bf16, unsigned short)

// dy beside the scaled x.
template <class T>
struct Scaled {
  typedef float2 Pair;
  typedef float Sums;
  const T* dy;
  const float* x;
  const float* rstd;
  int width;

  static __device__ __forceinline__ float zero() { return 0.0f; }

  __device__ __forceinline__ float2 load(int row, int column) const {
    long long at = (long long)row * width + column;
    return make_float2(ls_widened(dy[at]), x[at] * rstd[row]);
  }

  static __device__ __forceinline__ void add(float2 term, float& sum) {
    sum = fmaf(term.x, term.y, sum);
  }
};

// Sums of dy normal over the rows of each block, [blocks, width].
template <class T>
__device__ __forceinline__ void rms_norm_gain_grad(
    const T* dy, const float* x, const float* rstd, float* partGain, int rows, int width,
    int outer, int blocks, float2* tile) {
  Scaled<T> source = {dy, x, rstd, width};
  int block = blockIdx.y;
  float sum = ls_column_sum(source, Cut(rows, outer, blocks), block, width, tile);
  int column = blockIdx.x * LS_COLUMNS + threadIdx.x;
  if (threadIdx.x < LS_COLUMNS && column < width) {
    partGain[(long long)block * width + column] = sum;
  }
}

#define RMS_NORM_GAIN_GRAD(name, T)                                                              \
  extern "C" __global__ void __launch_bounds__(256) rms_norm_gain_grad_##name(                   \
      const T* dy, const float* x, const float* rstd, float* partGain, int rows, int width,      \
      int outer, int blocks) {                                                                   \
    __shared__ float2 tile[LS_TILE_ROWS * LS_COLUMNS];                                           \
    rms_norm_gain_grad(dy, x, rstd, partGain, rows, width, outer, blocks, tile);                 \
  }

RMS_NORM_GAIN_GRAD(f32, float)
RMS_NORM_GAIN_GRAD(bf16, unsigned short)
