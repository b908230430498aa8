// Sums down the columns of a contiguous float32 matrix.
#include "columns.cuh"
#include "types.cuh"

template <class T>
struct Plain {
  typedef float Pair;
  typedef float Sums;
  const T* x;
  int width;

  static __device__ __forceinline__ float zero() { return 0.0f; }

  __device__ __forceinline__ float load(int row, int column) const {
    return ls_widened(x[(long long)row * width + column]);
  }

  static __device__ __forceinline__ void add(float term, float& sum) { sum = sum + term; }
};

// parts[block, column]: the sums of each block, which join_parts_f32 joins.
template <class T>
__device__ __forceinline__ void column_sum(
    const T* x, float* parts, int rows, int width, int outer, int blocks, float* tile) {
  Plain<T> source = {x, width};
  int block = blockIdx.y;
  float sum = ls_column_sum(source, Cut(rows, outer, blocks), block, width, tile);
  int column = blockIdx.x * LS_COLUMNS + threadIdx.x;
  if (threadIdx.x < LS_COLUMNS && column < width) parts[(long long)block * width + column] = sum;
}

extern "C" __global__ void __launch_bounds__(256) column_sum_f32(
    const float* x, float* parts, int rows, int width, int outer, int blocks) {
  __shared__ float tile[LS_TILE_ROWS * LS_COLUMNS];
  column_sum(x, parts, rows, width, outer, blocks, tile);
}

extern "C" __global__ void __launch_bounds__(256) column_sum_bf16(
    const unsigned short* x, float* parts, int rows, int width, int outer, int blocks) {
  __shared__ float tile[LS_TILE_ROWS * LS_COLUMNS];
  column_sum(x, parts, rows, width, outer, blocks, tile);
}
