// The same numbers in another element type, rounded once to nearest even; a whole number stays
// within its type, NaN becomes 0.
#include "grid.cuh"
#include "types.cuh"

// Every pair of types.
extern "C" __global__ void cast(int from, int to, const void* x, void* out, long long n) {
  for (long long i = LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {
    if (ls_is_float(from)) {
      ls_store(to, out, i, ls_load(from, x, i));
    } else {
      ls_store_whole(to, out, i, ls_whole(from, x, i));
    }
  }
}

// The pairs that training runs on, four elements per thread and access: `W` holds four of `T`.
#define NARROW(name, T, W, make)                                                         \
  extern "C" __global__ void cast_f32_##name(const float* x, T* out, long long n) {      \
    bool aligned = ls_aligned(x, 16) && ls_aligned(out, sizeof(W));                      \
    long long vectors = aligned ? n / 4 : 0;                                             \
    for (long long i = LS_GRID_INDEX; i < vectors; i += LS_GRID_STRIDE) {                \
      float4 a = ((const float4*)x)[i];                                                  \
      ((W*)out)[i] =                                                                     \
          make(ls_to_##name(a.x), ls_to_##name(a.y), ls_to_##name(a.z), ls_to_##name(a.w)); \
    }                                                                                    \
    for (long long i = vectors * 4 + LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {        \
      out[i] = ls_to_##name(x[i]);                                                       \
    }                                                                                    \
  }                                                                                      \
  extern "C" __global__ void cast_##name##_f32(const T* x, float* out, long long n) {    \
    bool aligned = ls_aligned(x, sizeof(W)) && ls_aligned(out, 16);                      \
    long long vectors = aligned ? n / 4 : 0;                                             \
    for (long long i = LS_GRID_INDEX; i < vectors; i += LS_GRID_STRIDE) {                \
      W a = ((const W*)x)[i];                                                            \
      ((float4*)out)[i] = make_float4(                                                   \
          ls_from_##name(a.x), ls_from_##name(a.y), ls_from_##name(a.z), ls_from_##name(a.w)); \
    }                                                                                    \
    for (long long i = vectors * 4 + LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {        \
      out[i] = ls_from_##name(x[i]);                                                     \
    }                                                                                    \
  }

NARROW(bf16, unsigned short, ushort4, make_ushort4)
NARROW(f16, unsigned short, ushort4, make_ushort4)
NARROW(e4m3fn, unsigned char, uchar4, make_uchar4)
NARROW(e5m2, unsigned char, uchar4, make_uchar4)
