// condition ? a : b, for elements of 1, 2, 4 and 8 bytes.
#include "grid.cuh"

template <class T>
__device__ __forceinline__ void choose(
    const unsigned char* condition, const T* a, const T* b, T* out, long long n) {
  for (long long i = LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {
    out[i] = condition[i] ? a[i] : b[i];
  }
}

#define SELECT(bytes, T)                                                           \
  extern "C" __global__ void select_##bytes(                                       \
      const unsigned char* condition, const T* a, const T* b, T* out, long long n) { \
    choose(condition, a, b, out, n);                                               \
  }

SELECT(1, unsigned char)
SELECT(2, unsigned short)
SELECT(4, unsigned)
SELECT(8, unsigned long long)
