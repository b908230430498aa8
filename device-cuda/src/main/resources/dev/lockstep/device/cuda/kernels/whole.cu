// Arithmetic of whole numbers; what does not fit keeps its low bits.
#include "grid.cuh"
#include "types.cuh"

enum Op { ADD = 0, SUB = 1, MUL = 2, DIV = 3, MAX = 4, MIN = 5 };

static __device__ __forceinline__ long long apply(int op, long long a, long long b) {
  unsigned long long x = (unsigned long long)a;
  unsigned long long y = (unsigned long long)b;
  switch (op) {
    case ADD: return (long long)(x + y);
    case SUB: return (long long)(x - y);
    case MUL: return (long long)(x * y);
    case MAX: return a > b ? a : b;
    case MIN: return a < b ? a : b;
    default: return b == 0 ? 0 : b == -1 ? (long long)(0 - x) : a / b;  // -2^63 / -1 wraps
  }
}

// A missing `a` is all zeros.
extern "C" __global__ void whole_binary(
    int type, int op, const void* a, const void* b, void* out, long long n) {
  for (long long i = LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {
    long long x = a ? ls_whole(type, a, i) : 0;
    ls_store_whole(type, out, i, apply(op, x, ls_whole(type, b, i)));
  }
}

// Sums (`op` ADD) or the greatest (MAX) along rows, a warp per row: order does not matter here.
extern "C" __global__ void whole_row_reduce(
    int type, int op, const void* x, void* out, int rows, int extent) {
  int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= rows) return;
  long long least = type == I64   ? -0x7FFFFFFFFFFFFFFFLL - 1
                    : type == I32 ? -2147483648LL
                    : type == I16 ? -32768
                    : type == I8  ? -128
                                  : 0;
  long long result = op == ADD ? 0 : least;
  long long first = (long long)row * extent;
  for (int i = threadIdx.x % 32; i < extent; i += 32) {
    result = apply(op, result, ls_whole(type, x, first + i));
  }
  for (int distance = 16; distance > 0; distance /= 2) {
    result = apply(op, result, __shfl_xor_sync(0xFFFFFFFFu, result, distance));
  }
  if (threadIdx.x % 32 == 0) ls_store_whole(type, out, row, result);
}
