// Moves elements from one strided layout to another: transpose, broadcast, slice, a part of a
// concatenation.
#include "grid.cuh"

// Extents, and the distance in elements to the next element of each dimension on either side.
struct Layout {
  int rank;
  int pad;
  long long extents[8];
  long long from[8];
  long long to[8];
};

template <class Index, class T>
__device__ __forceinline__ void copy(const T* from, T* to, const Layout& layout, Index n) {
  for (Index i = (Index)LS_GRID_INDEX; i < n; i += (Index)LS_GRID_STRIDE) {
    Index rest = i;
    long long source = 0;
    long long target = 0;
    for (int dim = layout.rank - 1; dim > 0; dim--) {
      Index next = rest / (Index)layout.extents[dim];
      long long index = rest - next * (Index)layout.extents[dim];
      source += index * layout.from[dim];
      target += index * layout.to[dim];
      rest = next;
    }
    to[target + rest * layout.to[0]] = from[source + rest * layout.from[0]];
  }
}

#define COPY(bytes, T)                                                            \
  extern "C" __global__ void copy_##bytes(                                        \
      const T* from, T* to, long long fromStart, long long toStart,               \
      const __grid_constant__ Layout layout, long long n) {                       \
    if (LS_IS_SMALL(n)) {                                                         \
      copy(from + fromStart, to + toStart, layout, (unsigned)n);                  \
    } else {                                                                      \
      copy(from + fromStart, to + toStart, layout, (unsigned long long)n);        \
    }                                                                             \
  }

COPY(1, unsigned char)
COPY(2, unsigned short)
COPY(4, unsigned)
COPY(8, unsigned long long)

// [batch, rows, columns] to [batch, columns, rows] by squares of 32 in shared memory, so that both
// sides are read and written along their rows. Blocks of (32, 8) threads.
template <class T>
__device__ __forceinline__ void transpose(
    const T* from, T* to, int rows, int columns, int batch, T (*tile)[33]) {
  for (int b = blockIdx.z; b < batch; b += gridDim.z) {
    const T* source = from + (long long)b * rows * columns;
    T* target = to + (long long)b * rows * columns;
    int column = blockIdx.x * 32 + threadIdx.x;
    for (int i = threadIdx.y; i < 32; i += 8) {
      int row = blockIdx.y * 32 + i;
      if (row < rows && column < columns) {
        tile[i][threadIdx.x] = source[(long long)row * columns + column];
      }
    }
    __syncthreads();
    int row = blockIdx.y * 32 + threadIdx.x;
    for (int i = threadIdx.y; i < 32; i += 8) {
      int turned = blockIdx.x * 32 + i;
      if (turned < columns && row < rows) {
        target[(long long)turned * rows + row] = tile[threadIdx.x][i];
      }
    }
    __syncthreads();
  }
}

extern "C" __global__ void transpose_2(
    const unsigned short* from, unsigned short* to, int rows, int columns, int batch) {
  __shared__ unsigned short tile[32][33];
  transpose(from, to, rows, columns, batch, tile);
}

extern "C" __global__ void transpose_4(
    const unsigned* from, unsigned* to, int rows, int columns, int batch) {
  __shared__ unsigned tile[32][33];
  transpose(from, to, rows, columns, batch, tile);
}
