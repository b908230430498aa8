// a < b and a == b, element by element, for every type: floats as numbers (NaN compares false),
// whole numbers exactly.
#include "grid.cuh"
#include "types.cuh"

struct Less {
  template <class T>
  __device__ __forceinline__ bool operator()(T a, T b) const { return a < b; }
};

struct Equal {
  template <class T>
  __device__ __forceinline__ bool operator()(T a, T b) const { return a == b; }
};

template <class Holds>
__device__ __forceinline__ void compare(
    int type, const void* a, const void* b, unsigned char* out, long long n) {
  Holds holds;
  for (long long i = LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {
    bool result;
    if (type == F32) {
      result = holds(((const float*)a)[i], ((const float*)b)[i]);
    } else if (ls_is_float(type)) {
      result = holds(ls_load(type, a, i), ls_load(type, b, i));
    } else {
      result = holds(ls_whole(type, a, i), ls_whole(type, b, i));
    }
    out[i] = result;
  }
}

extern "C" __global__ void less(
    int type, const void* a, const void* b, unsigned char* out, long long n) {
  compare<Less>(type, a, b, out, n);
}

extern "C" __global__ void equal(
    int type, const void* a, const void* b, unsigned char* out, long long n) {
  compare<Equal>(type, a, b, out, n);
}
