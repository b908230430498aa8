// CUDA C++ as the host's compiler sees it: what the stand-in for NVRTC puts before a kernel's source.
// No header of the system is included, so that names of kernels clash with nothing and compilation is
// fast.
//
// A thread of a block is a fibre; barriers and shuffles hand over to the scheduler in fibres.h.
#pragma once

#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__ __restrict
#define __grid_constant__

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
};

#define STANDIN_VECTOR(T, name)                                      \
  struct __align__(2 * sizeof(T)) name##2 {                          \
    T x, y;                                                          \
  };                                                                 \
  struct __align__(4 * sizeof(T)) name##4 {                          \
    T x, y, z, w;                                                    \
  };                                                                 \
  static inline name##2 make_##name##2(T x, T y) { return {x, y}; }  \
  static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

STANDIN_VECTOR(float, float)
STANDIN_VECTOR(unsigned char, uchar)
STANDIN_VECTOR(unsigned short, ushort)
STANDIN_VECTOR(int, int)
STANDIN_VECTOR(unsigned, uint)

// What the scheduler sets before it resumes a fibre, and what a fibre calls; fibres.h has the same.
struct StandinContext {
  uint3 threadIdx;
  uint3 blockIdx;
  dim3 blockDim;
  dim3 gridDim;
  void (*barrier)();
  unsigned long long (*exchange)(unsigned mask, unsigned long long value, int kind, int argument);
};
extern "C" {
__attribute__((visibility("default"))) StandinContext standin_context;
}

#define threadIdx standin_context.threadIdx
#define blockIdx standin_context.blockIdx
#define blockDim standin_context.blockDim
#define gridDim standin_context.gridDim

static inline void __syncthreads() { standin_context.barrier(); }

template <class T>
static inline T standin_exchange(unsigned mask, T value, int kind, int argument) {
  static_assert(sizeof(T) <= 8, "shuffles move up to 8 bytes");
  unsigned long long bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  bits = standin_context.exchange(mask, bits, kind, argument);
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}

template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  return standin_exchange(mask, value, 0, lanes);
}
template <class T>
static inline T __shfl_sync(unsigned mask, T value, int lane) {
  return standin_exchange(mask, value, 1, lane);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, int lanes) {
  return standin_exchange(mask, value, 2, lanes);
}
static inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) { standin_exchange(mask, 0, 3, 0); }

static inline int atomicCAS(int* address, int compare, int value) {
  int old = *address;
  if (old == compare) *address = value;
  return old;
}

static inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

static inline int __float_as_int(float x) {
  int bits;
  __builtin_memcpy(&bits, &x, 4);
  return bits;
}
static inline float __int_as_float(int bits) {
  float x;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}

static inline int __double2hiint(double x) {
  long long bits;
  __builtin_memcpy(&bits, &x, 8);
  return (int)(bits >> 32);
}
static inline int __double2loint(double x) {
  long long bits;
  __builtin_memcpy(&bits, &x, 8);
  return (int)bits;
}
static inline double __hiloint2double(int high, int low) {
  long long bits = (long long)high << 32 | (unsigned)low;
  double x;
  __builtin_memcpy(&x, &bits, 8);
  return x;
}

static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline float sqrtf(float x) { return __builtin_sqrtf(x); }
static inline float fabsf(float x) { return __builtin_fabsf(x); }
static inline float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
static inline double rint(double x) { return __builtin_rint(x); }
static inline double sqrt(double x) { return __builtin_sqrt(x); }
static inline float fmaxf(float a, float b) { return __builtin_fmaxf(a, b); }

#include "mma.h"

// Calls a kernel with parameters as cuLaunchKernel gets them, and tells their sizes.
namespace standin {
template <int... I>
struct Indices {};
template <int N, int... I>
struct Count : Count<N - 1, N - 1, I...> {};
template <int... I>
struct Count<0, I...> {
  typedef Indices<I...> type;
};

template <class... A, int... I>
static void call(void (*kernel)(A...), void** parameters, Indices<I...>) {
  kernel(*(A*)parameters[I]...);
}
template <class... A>
static void call(void (*kernel)(A...), void** parameters) {
  call(kernel, parameters, typename Count<sizeof...(A)>::type());
}
template <class... A>
static int sizes(void (*)(A...), unsigned* sizes) {
  const unsigned all[] = {sizeof(A)...};
  for (unsigned i = 0; i < sizeof...(A); i++) {
    sizes[i] = all[i];
  }
  return sizeof...(A);
}
}  // namespace standin
