// Matrices of 8-bit floats as tensor cores take them: rows along the sum, in extents that are
// multiples of 16. Squares of 64 by 64 in shared memory; blocks of (64, 4) threads; the result is
// written by four elements, which `toColumns` is a multiple of and `to` is aligned to. At the end what
// tensor cores take that know no floats of 8 bits.
#include "grid.cuh"
#include "types.cuh"

#define TILE 64
#define PITCH (TILE + 4)

// Writes a square of the result that lies in shared memory by its rows, or by its columns.
template <bool TURNED>
__device__ __forceinline__ void write(
    const unsigned char* tile, unsigned char* to, int row, int column, int toRows, int toColumns) {
  for (int i = threadIdx.y * TILE + threadIdx.x; i < TILE * TILE / 4; i += TILE * 4) {
    int r = i / (TILE / 4);
    int c = i % (TILE / 4) * 4;
    if (row + r < toRows && column + c < toColumns) {
      unsigned word = 0;
#pragma unroll
      for (int b = 0; b < 4; b++) {
        unsigned element = TURNED ? tile[(c + b) * PITCH + r] : tile[r * PITCH + c + b];
        word |= element << (8 * b);
      }
      *(unsigned*)(to + (long long)(row + r) * toColumns + column + c) = word;
    }
  }
}

template <bool TURNED>
__device__ __forceinline__ void copy(
    const unsigned char* from, unsigned char* to, int rows, int columns, int toRows, int toColumns,
    int batch, unsigned char* tile) {
  int column = blockIdx.x * TILE;
  for (int b = blockIdx.z; b < batch; b += gridDim.z) {
    const unsigned char* source = from + (long long)b * rows * columns;
    unsigned char* target = to + (long long)b * toRows * toColumns;
    for (int row = blockIdx.y * TILE; row < toRows; row += gridDim.y * TILE) {
      int sourceColumn = (TURNED ? row : column) + threadIdx.x;
      for (int i = threadIdx.y; i < TILE; i += 4) {
        int sourceRow = (TURNED ? column : row) + i;
        bool inside = sourceRow < rows && sourceColumn < columns;
        tile[i * PITCH + threadIdx.x] =
            inside ? source[(long long)sourceRow * columns + sourceColumn] : 0;
      }
      __syncthreads();
      write<TURNED>(tile, target, row, column, toRows, toColumns);
      __syncthreads();
    }
  }
}

// [batch, rows, columns] into the corners of [batch, toRows, toColumns], whose rest becomes zero.
extern "C" __global__ void pad_8(
    const unsigned char* from, unsigned char* to, int rows, int columns, int toRows, int toColumns,
    int batch) {
  __shared__ unsigned char tile[TILE * PITCH];
  copy<false>(from, to, rows, columns, toRows, toColumns, batch, tile);
}

// The same of the transposes: [batch, columns, rows] into the corners.
extern "C" __global__ void turn_8(
    const unsigned char* from, unsigned char* to, int rows, int columns, int toRows, int toColumns,
    int batch) {
  __shared__ unsigned char tile[TILE * PITCH];
  copy<true>(from, to, rows, columns, toRows, toColumns, batch, tile);
}

// The same numbers in bfloat16, which holds all of them; `to` is aligned.
#define WIDEN(name)                                                                                  \
  extern "C" __global__ void widen_##name(const unsigned char* x, unsigned short* to, long long n) { \
    long long vectors = ls_aligned(x, 4) ? n / 4 : 0;                                                \
    for (long long i = LS_GRID_INDEX; i < vectors; i += LS_GRID_STRIDE) {                            \
      uchar4 a = ((const uchar4*)x)[i];                                                              \
      ((ushort4*)to)[i] = make_ushort4(                                                              \
          ls_to_bf16(ls_from_##name(a.x)), ls_to_bf16(ls_from_##name(a.y)),                          \
          ls_to_bf16(ls_from_##name(a.z)), ls_to_bf16(ls_from_##name(a.w)));                         \
    }                                                                                                \
    for (long long i = vectors * 4 + LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {                    \
      to[i] = ls_to_bf16(ls_from_##name(x[i]));                                                      \
    }                                                                                                \
  }

WIDEN(e4m3fn)
WIDEN(e5m2)

// Multiplies float32 by one number or two (`second` may be null); may be in place.
#define SCALE(name, T)                                                                        \
  extern "C" __global__ void scale_##name(                                                    \
      const float* x, const float* first, const float* second, T* to, long long n) {          \
    float scale = second ? *first * *second : *first;                                         \
    for (long long i = LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {                           \
      ls_put(to + i, x[i] * scale);                                                           \
    }                                                                                         \
  }

SCALE(f32, float)
SCALE(bf16, unsigned short)
