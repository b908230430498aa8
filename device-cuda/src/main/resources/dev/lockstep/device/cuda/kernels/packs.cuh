// Four elements next to each other, moved in one access: what kernels that are generated for chains of
// element-wise ops read and write.
#pragma once

#include "grid.cuh"

template <class T>
struct __align__(4 * sizeof(T)) Pack {
  T at[4];
};

template <class T>
__device__ __forceinline__ bool ls_packed(const T* p) {
  return ls_aligned(p, sizeof(Pack<T>));
}

template <class T>
__device__ __forceinline__ Pack<T> ls_pack(const T* p, long long pack) {
  return ((const Pack<T>*)p)[pack];
}

template <class T>
__device__ __forceinline__ void ls_put_pack(T* p, long long pack, const Pack<T>& value) {
  ((Pack<T>*)p)[pack] = value;
}

// i modulo m, by 32 bits where they hold both.
static __device__ __forceinline__ long long ls_modulo(long long i, long long m) {
  return ((i | m) >> 32) == 0 ? (long long)((unsigned)i % (unsigned)m) : i % m;
}
