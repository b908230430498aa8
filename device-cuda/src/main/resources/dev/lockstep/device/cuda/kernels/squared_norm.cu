// The sum of the squares of many tensors: chunks of 65,536 elements are leaves of one tree, a thread
// block sums each; join_leaves_f32 joins them.
#include "sums.cuh"

#define CHUNK 65536

// A block of a tensor: runs of elements that lie side by side, `outer` of them `outerStride` apart,
// the next ones `preStride` further.
struct Part {
  const float* x;
  long long run;
  long long outer;
  long long outerStride;
  long long preStride;
  long long start;
  long long elements;
  long long firstLeaf;
};

struct Parts {
  int count;
  int firstLeaf;
  Part part[60];
};

struct SquareTerm {
  Part part;
  long long first;

  __device__ __forceinline__ float operator()(int e) const {
    long long i = first + e;
    if (part.run == part.elements) return part.x[part.start + i];
    long long index = i / part.run;
    long long offset = part.start + index / part.outer * part.preStride;
    return part.x[offset + index % part.outer * part.outerStride + i % part.run];
  }

  static __device__ __forceinline__ float add(float term, float sum) {
    return fmaf(term, term, sum);
  }
};

extern "C" __global__ void __launch_bounds__(256) squared_norm_f32(
    const __grid_constant__ Parts parts, float* leaves) {
  __shared__ float stage[LS_STAGE];
  long long leaf = (long long)parts.firstLeaf + blockIdx.x;
  int p = 0;
  while (p + 1 < parts.count && parts.part[p + 1].firstLeaf <= leaf) {
    p++;
  }
  SquareTerm term = {parts.part[p], (leaf - parts.part[p].firstLeaf) * CHUNK};
  long long rest = term.part.elements - term.first;
  float sum = ls_block_sum(term, (int)(rest < CHUNK ? rest : CHUNK), stage);
  if (threadIdx.x == 0) leaves[leaf] = sum;
}
