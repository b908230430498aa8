// Sums down the columns of contiguous matrices in an order of their own, for devices whose products
// have one too. A block of 256 threads takes 128 columns, four a thread, of a range
// of rows: its 8 warps take the rows in turn, and their sums are added in order. The parts
// [gridDim.y, width] are summed by another launch. Widths are multiples of 4; what is
// not aligned to a load of four elements is loaded one by one.
#include "grid.cuh"
#include "types.cuh"

#define COLUMNS 128
#define WARPS 8

struct Range {
  int first;
  int end;

  // The rows of block y of gridDim.y.
  __device__ __forceinline__ explicit Range(int rows)
      : first((int)((long long)blockIdx.y * rows / gridDim.y)),
        end((int)((long long)(blockIdx.y + 1) * rows / gridDim.y)) {}
};

// Whether every row begins where four elements can be loaded at once.
template <class T>
static __device__ __forceinline__ bool ls_fours(const T* x) {
  return ls_aligned(x, 4 * sizeof(T));
}

template <class T>
static __device__ __forceinline__ float4 ls_each(const T* x) {
  return make_float4(ls_widened(x[0]), ls_widened(x[1]), ls_widened(x[2]), ls_widened(x[3]));
}

static __device__ __forceinline__ float4 ls_four(const float* x, bool aligned) {
  return aligned ? *(const float4*)x : ls_each(x);
}

static __device__ __forceinline__ float4 ls_four(const unsigned short* x, bool aligned) {
  if (!aligned) return ls_each(x);
  ushort4 a = *(const ushort4*)x;
  return make_float4(
      ls_from_bf16(a.x), ls_from_bf16(a.y), ls_from_bf16(a.z), ls_from_bf16(a.w));
}

static __device__ __forceinline__ float4 ls_plus(float4 a, float4 b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

// Adds the sums of the warps and stores them.
static __device__ __forceinline__ void ls_finish(float4 sum, float4* shared, float* parts, int width) {
  int lane = threadIdx.x % 32;
  int column = blockIdx.x * COLUMNS + 4 * lane;
  shared[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x < 32 && column < width) {
    float4 all = shared[lane];
#pragma unroll
    for (int warp = 1; warp < WARPS; warp++) {
      all = ls_plus(all, shared[32 * warp + lane]);
    }
    float* to = parts + (long long)blockIdx.y * width + column;
    if (ls_fours(parts)) {
      *(float4*)to = all;
    } else {
      to[0] = all.x;
      to[1] = all.y;
      to[2] = all.z;
      to[3] = all.w;
    }
  }
  __syncthreads();
}

template <class T>
__device__ __forceinline__ void column_sum(
    const T* x, float* parts, int rows, int width, float4* shared) {
  int column = blockIdx.x * COLUMNS + 4 * (threadIdx.x % 32);
  Range range(rows);
  bool aligned = ls_fours(x);
  float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  if (column < width) {
#pragma unroll 8
    for (int row = range.first + threadIdx.x / 32; row < range.end; row += WARPS) {
      sum = ls_plus(sum, ls_four(x + (long long)row * width + column, aligned));
    }
  }
  ls_finish(sum, shared, parts, width);
}

extern "C" __global__ void __launch_bounds__(256) wide_column_sum_f32(
    const float* __restrict__ x, float* __restrict__ parts, int rows, int width) {
  __shared__ float4 shared[32 * WARPS];
  column_sum(x, parts, rows, width, shared);
}

extern "C" __global__ void __launch_bounds__(256) wide_column_sum_bf16(
    const unsigned short* __restrict__ x, float* __restrict__ parts, int rows, int width) {
  __shared__ float4 shared[32 * WARPS];
  column_sum(x, parts, rows, width, shared);
}

// The sums of dy (x - mean) rstd and of dy: layer norm's gradients of gain and bias.
template <class T>
__device__ __forceinline__ void layer_norm_param_grad(
    const T* dy, const float* x, const float* mean, const float* rstd, float* partGain,
    float* partBias, int rows, int width, float4* shared) {
  int column = blockIdx.x * COLUMNS + 4 * (threadIdx.x % 32);
  Range range(rows);
  float4 gain = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float4 bias = gain;
  bool slopes = ls_fours(dy);
  bool values = ls_fours(x);
  if (column < width) {
#pragma unroll 4
    for (int row = range.first + threadIdx.x / 32; row < range.end; row += WARPS) {
      long long at = (long long)row * width + column;
      float4 slope = ls_four(dy + at, slopes);
      float4 from = ls_four(x + at, values);
      float middle = mean[row];
      float scale = rstd[row];
      gain.x = fmaf(slope.x, (from.x - middle) * scale, gain.x);
      gain.y = fmaf(slope.y, (from.y - middle) * scale, gain.y);
      gain.z = fmaf(slope.z, (from.z - middle) * scale, gain.z);
      gain.w = fmaf(slope.w, (from.w - middle) * scale, gain.w);
      bias = ls_plus(bias, slope);
    }
  }
  ls_finish(gain, shared, partGain, width);
  ls_finish(bias, shared, partBias, width);
}

#define LAYER_NORM_PARAM_GRAD(name, T)                                                       \
  extern "C" __global__ void __launch_bounds__(256) wide_layer_norm_param_grad_##name(       \
      const T* __restrict__ dy, const float* __restrict__ x, const float* __restrict__ mean, \
      const float* __restrict__ rstd, float* __restrict__ partGain,                          \
      float* __restrict__ partBias, int rows, int width) {                                   \
    __shared__ float4 shared[32 * WARPS];                                                    \
    layer_norm_param_grad(dy, x, mean, rstd, partGain, partBias, rows, width, shared);       \
  }

LAYER_NORM_PARAM_GRAD(f32, float)
LAYER_NORM_PARAM_GRAD(bf16, unsigned short)
