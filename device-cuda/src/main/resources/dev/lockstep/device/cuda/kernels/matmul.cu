// Products of matrices in the order that the graph's definition fixes: an element is, within each
// block of k, one ascending chain of fused multiply-adds. No tensor cores: what is exact, and what
// cuBLASLt does not serve.
//
// A thread block of 256 makes a square of 64 x 64; each thread 4 x 4 of it from tiles of 16 along k
// in shared memory, the next tile waiting in registers.
#include "sums.cuh"
#include "types.cuh"

#define SIDE 64
#define DEPTH 16
#define STRIDE (SIDE + 4)

// out[block j, batch i] = op(a[i]) op(b[i]) over block j of k; strides in elements.
struct Product {
  int m;
  int n;
  int k;
  int transposeA;
  int transposeB;
  int lda;
  int ldb;
  int ldc;
  int outer;
  int blocks;
  long long strideA;
  long long strideB;
  long long strideC;
  long long strideBlock;
};

LS_INLINE float widened(float x) { return x; }

LS_INLINE float widened(unsigned short x) { return ls_from_bf16(x); }

// One operand as [rows or columns, k].
template <class T>
struct Operand {
  const T* at;
  int extent;
  int ld;
  bool alongExtent;  // neighbours in memory differ in row or column, not in k

  // Element `i` of 4 that this thread brings of a tile: where it goes.
  __device__ __forceinline__ int row(int i) const {
    return alongExtent ? threadIdx.x % SIDE : threadIdx.x / DEPTH + i * (256 / DEPTH);
  }

  __device__ __forceinline__ int depth(int i) const {
    return alongExtent ? threadIdx.x / SIDE + i * (256 / SIDE) : threadIdx.x % DEPTH;
  }

  __device__ __forceinline__ float load(int row, int k) const {
    if (row >= extent) return 0.0f;
    return widened(alongExtent ? at[(long long)k * ld + row] : at[(long long)row * ld + k]);
  }
};

template <class A, class B>
__device__ __forceinline__ void product(
    const A* a, const B* b, const float* bias, float* out, const Product& p, float* left,
    float* right) {
  int batch = blockIdx.z / p.blocks;
  int block = blockIdx.z % p.blocks;
  int firstRow = blockIdx.y * SIDE;
  int firstColumn = blockIdx.x * SIDE;
  Operand<A> rows = {a + batch * p.strideA, p.m, p.lda, p.transposeA != 0};
  Operand<B> columns = {b + batch * p.strideB, p.n, p.ldb, p.transposeB == 0};
  Cut cut(p.k, p.outer, p.blocks);
  int length = cut.length(block);
  int count = cut.count(block);
  int y = threadIdx.x / 16 * 4;
  int x = threadIdx.x % 16 * 4;
  float sums[4][4] = {};
  float nextLeft[4];
  float nextRight[4];
  for (int base = -DEPTH; base < count; base += DEPTH) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      // Beyond the end stand zeros, which change no chain: none is -0.
      int e = base + DEPTH + rows.depth(i);
      nextLeft[i] = e < count ? rows.load(firstRow + rows.row(i), cut.at(block, length, e)) : 0.0f;
      e = base + DEPTH + columns.depth(i);
      nextRight[i] =
          e < count ? columns.load(firstColumn + columns.row(i), cut.at(block, length, e)) : 0.0f;
    }
    if (base >= 0) {
#pragma unroll
      for (int k = 0; k < DEPTH; k++) {
        float4 l = *(const float4*)(left + k * STRIDE + y);
        float4 r = *(const float4*)(right + k * STRIDE + x);
        float ls[4] = {l.x, l.y, l.z, l.w};
        float rs[4] = {r.x, r.y, r.z, r.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
          for (int j = 0; j < 4; j++) {
            sums[i][j] = fmaf(ls[i], rs[j], sums[i][j]);
          }
        }
      }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 4; i++) {
      left[rows.depth(i) * STRIDE + rows.row(i)] = nextLeft[i];
      right[columns.depth(i) * STRIDE + columns.row(i)] = nextRight[i];
    }
    __syncthreads();
  }
  float* to = out + block * p.strideBlock + batch * p.strideC;
#pragma unroll
  for (int i = 0; i < 4; i++) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int row = firstRow + y + i;
      int column = firstColumn + x + j;
      if (row < p.m && column < p.n) {
        float sum = bias ? sums[i][j] + bias[column] : sums[i][j];
        to[(long long)row * p.ldc + column] = sum;
      }
    }
  }
}

#define MATMUL(name, A, B)                                                             \
  extern "C" __global__ void __launch_bounds__(256) name(                              \
      const A* a, const B* b, const float* bias, float* out, Product p) {              \
    __shared__ __align__(16) float left[DEPTH * STRIDE];                               \
    __shared__ __align__(16) float right[DEPTH * STRIDE];                              \
    product(a, b, bias, out, p, left, right);                                          \
  }

MATMUL(matmul_f32, float, float)
MATMUL(matmul_bf16, unsigned short, unsigned short)
MATMUL(matmul_bf16_f32, unsigned short, float)
MATMUL(matmul_f32_bf16, float, unsigned short)
