// Element-wise work on contiguous float32. Inputs and output may be the same memory. Four elements
// per thread and access where all operands are aligned to 16 bytes.
#include "grid.cuh"
#include "math.cuh"

template <class F>
__device__ __forceinline__ void map(const float* x, float* out, long long n) {
  F f;
  long long vectors = ls_aligned(x, 16) && ls_aligned(out, 16) ? n / 4 : 0;
  for (long long i = LS_GRID_INDEX; i < vectors; i += LS_GRID_STRIDE) {
    float4 a = ((const float4*)x)[i];
    ((float4*)out)[i] = make_float4(f(a.x), f(a.y), f(a.z), f(a.w));
  }
  for (long long i = vectors * 4 + LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {
    out[i] = f(x[i]);
  }
}

template <class F>
__device__ __forceinline__ void map(const float* x, const float* y, float* out, long long n) {
  F f;
  bool aligned = ls_aligned(x, 16) && ls_aligned(y, 16) && ls_aligned(out, 16);
  long long vectors = aligned ? n / 4 : 0;
  for (long long i = LS_GRID_INDEX; i < vectors; i += LS_GRID_STRIDE) {
    float4 a = ((const float4*)x)[i];
    float4 b = ((const float4*)y)[i];
    ((float4*)out)[i] = make_float4(f(a.x, b.x), f(a.y, b.y), f(a.z, b.z), f(a.w, b.w));
  }
  for (long long i = vectors * 4 + LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {
    out[i] = f(x[i], y[i]);
  }
}

#define UNARY(name, expression)                                                 \
  struct name##_of {                                                            \
    __device__ __forceinline__ float operator()(float x) const { return expression; } \
  };                                                                            \
  extern "C" __global__ void name##_f32(const float* x, float* out, long long n) { \
    map<name##_of>(x, out, n);                                                  \
  }

#define BINARY(name, expression)                                                \
  struct name##_of {                                                            \
    __device__ __forceinline__ float operator()(float a, float b) const { return expression; } \
  };                                                                            \
  extern "C" __global__ void name##_f32(                                        \
      const float* a, const float* b, float* out, long long n) {                \
    map<name##_of>(a, b, out, n);                                               \
  }

UNARY(neg, -x)
UNARY(exp, ls_exp(x))
UNARY(log, ls_log(x))
UNARY(tanh, ls_tanh(x))
UNARY(sqrt, sqrtf(x))
UNARY(rsqrt, ls_rsqrt(x))
UNARY(gelu, ls_gelu(x))
UNARY(silu, ls_silu(x))

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a * b)
BINARY(div, a / b)
BINARY(max, ls_max(a, b))
BINARY(min, ls_min(a, b))
BINARY(gelu_grad, ls_gelu_grad(a, b))
BINARY(silu_grad, ls_silu_grad(a, b))
BINARY(swiglu, ls_silu(a) * b)

// The gradients of silu(gate) * up.
extern "C" __global__ void swiglu_grad_f32(
    const float* dy, const float* gate, const float* up, float* dgate, float* dup, long long n) {
  for (long long i = LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {
    float d = dy[i];
    float g = gate[i];
    float u = up[i];
    dgate[i] = ls_silu_grad(d * u, g);
    dup[i] = d * ls_silu(g);
  }
}

// (x + row of its column) + residual; `row` and `residual` may be missing.
template <class Index>
__device__ __forceinline__ void add_row(
    const float* x, const float* row, const float* residual, float* out, Index n, Index width) {
  for (Index i = (Index)LS_GRID_INDEX; i < n; i += (Index)LS_GRID_STRIDE) {
    float sum = x[i];
    if (row) sum = sum + row[i % width];
    if (residual) sum = sum + residual[i];
    out[i] = sum;
  }
}

extern "C" __global__ void add_row_f32(
    const float* x, const float* row, const float* residual, float* out, long long n, int width) {
  if (LS_IS_SMALL(n)) {
    add_row<unsigned>(x, row, residual, out, (unsigned)n, width);
  } else {
    add_row<unsigned long long>(x, row, residual, out, n, width);
  }
}
