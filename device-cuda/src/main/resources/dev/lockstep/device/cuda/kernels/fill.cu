// Constants and indices.
#include "grid.cuh"
#include "types.cuh"

template <class T>
__device__ __forceinline__ void fill(T* out, unsigned long long bits, long long n) {
  T value = (T)bits;
  for (long long i = LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {
    out[i] = value;
  }
}

#define FILL(bytes, T)                                                                      \
  extern "C" __global__ void fill_##bytes(T* out, unsigned long long bits, long long n) { \
    fill(out, bits, n);                                                                     \
  }

FILL(1, unsigned char)
FILL(2, unsigned short)
FILL(4, unsigned)
FILL(8, unsigned long long)

// Each element its index along a dimension of `extent` elements that lie `step` apart.
template <class Index>
__device__ __forceinline__ void indices(int type, void* out, Index extent, Index step, Index n) {
  for (Index i = (Index)LS_GRID_INDEX; i < n; i += (Index)LS_GRID_STRIDE) {
    Index index = i / step % extent;
    ls_store_whole(type, out, i, index);
  }
}

extern "C" __global__ void iota(
    int type, void* out, long long extent, long long step, long long n) {
  if (LS_IS_SMALL(n)) {
    indices<unsigned>(type, out, extent, step, n);
  } else {
    indices<unsigned long long>(type, out, extent, step, n);
  }
}
