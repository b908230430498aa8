// Joins sums by the tree T(n): left = as many leaves as the largest power of two below n, right = the
// rest, recursively. Sums of blocks, of lanes, and of chunks of a norm are joined so.
#include "grid.cuh"
#include "sums.cuh"

template <class Index>
__device__ __forceinline__ void join_parts(
    const float* parts, float* out, Index n, Index width, long long outStride, int leaves) {
  for (Index i = (Index)LS_GRID_INDEX; i < n; i += (Index)LS_GRID_STRIDE) {
    Tree<LS_TREE_LEVELS> tree;
    for (int leaf = 0; leaf < leaves; leaf++) {
      tree.push(parts[(long long)leaf * n + i]);
    }
    out[i / width * outStride + i % width] = tree.join();
  }
}

// parts[leaf, row, column] to out[row * outStride + column].
extern "C" __global__ void join_parts_f32(
    const float* parts, float* out, long long rows, int width, long long outStride, int leaves) {
  long long n = rows * width;
  if (LS_IS_SMALL(n)) {
    join_parts<unsigned>(parts, out, n, width, outStride, leaves);
  } else {
    join_parts<unsigned long long>(parts, out, n, width, outStride, leaves);
  }
}

// One sum of n leaves by one thread block of 256: neighbours are joined level by level, and what
// stands alone at the end moves up. Overwrites the leaves.
extern "C" __global__ void join_leaves_f32(float* leaves, float* out, int n) {
  if (n == 0) {
    if (threadIdx.x == 0) *out = 0.0f;
    return;
  }
  for (int distance = 1; distance < n; distance *= 2) {
    for (long long i = (long long)threadIdx.x * 2 * distance; i + distance < n;
         i += 256LL * 2 * distance) {
      leaves[i] = leaves[i] + leaves[i + distance];
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) *out = leaves[0];
}
