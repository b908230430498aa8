// Copies a matrix into the corner of a larger one, and the corner of one out of it.
#include "grid.cuh"

// Eight elements a thread: read one by one from rows that begin anywhere, written together. `toColumns`
// is a multiple of 8, `to` aligned to 16 bytes.
extern "C" __global__ void pad_rows_2(
    const unsigned short* __restrict__ from, unsigned short* __restrict__ to, int rows,
    int columns, int toRows, int toColumns) {
  for (int row = blockIdx.y; row < toRows; row += gridDim.y) {
    const unsigned short* source = from + (long long)row * columns;
    uint4* target = (uint4*)(to + (long long)row * toColumns);
    int filled = row < rows ? columns : 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < toColumns / 8;
         i += gridDim.x * blockDim.x) {
      unsigned word[4];
#pragma unroll
      for (int w = 0; w < 4; w++) {
        int column = 8 * i + 2 * w;
        unsigned low = column < filled ? source[column] : 0;
        unsigned high = column + 1 < filled ? source[column + 1] : 0;
        word[w] = low | high << 16;
      }
      target[i] = make_uint4(word[0], word[1], word[2], word[3]);
    }
  }
}

template <class T>
__device__ __forceinline__ void cut_rows(
    const T* __restrict__ from, T* __restrict__ to, int rows, int columns, int fromColumns) {
  for (int row = blockIdx.y; row < rows; row += gridDim.y) {
    const T* source = from + (long long)row * fromColumns;
    T* target = to + (long long)row * columns;
#pragma unroll 8
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < columns; i += gridDim.x * blockDim.x) {
      target[i] = source[i];
    }
  }
}

extern "C" __global__ void cut_rows_2(
    const unsigned short* from, unsigned short* to, int rows, int columns, int fromColumns) {
  cut_rows(from, to, rows, columns, fromColumns);
}

extern "C" __global__ void cut_rows_4(
    const unsigned* from, unsigned* to, int rows, int columns, int fromColumns) {
  cut_rows(from, to, rows, columns, fromColumns);
}
