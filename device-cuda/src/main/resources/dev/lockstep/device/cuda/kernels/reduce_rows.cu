// Sums and greatest elements along contiguous rows of float32.
#include "sums.cuh"

// A team per row: 8 rows per block of 128 threads.
static __device__ __forceinline__ int row_of_team() {
  return blockIdx.x * (blockDim.x / LS_TEAM) + threadIdx.x / LS_TEAM;
}

extern "C" __global__ void row_sum_f32(
    const float* x, float* out, int rows, int extent, int outer, int blocks) {
  int row = row_of_team();
  if (row >= rows) return;
  const float* from = x + (long long)row * extent;
  Cut cut(extent, outer, blocks);
  Tree<LS_TREE_LEVELS> tree;
  for (int j = 0; j < blocks; j++) {
    int length = cut.length(j);
    float partial = 0.0f;
#pragma unroll 4
    for (int e = ls_team_lane(); e < outer * length; e += LS_TEAM) {
      partial = partial + from[cut.at(j, length, e)];
    }
    tree.push(ls_team_join(partial));
  }
  if (ls_team_lane() == 0) out[row] = tree.join();
}

struct RowTerm {
  const float* row;
  Cut cut;
  int block;
  int length;

  __device__ __forceinline__ float operator()(int e) const {
    return row[cut.at(block, length, e)];
  }

  static __device__ __forceinline__ float add(float term, float sum) { return sum + term; }
};

// The same sums for few long rows, a thread block of 256 per row.
extern "C" __global__ void row_sum_long_f32(
    const float* x, float* out, int rows, int extent, int outer, int blocks) {
  __shared__ float stage[LS_STAGE];
  Cut cut(extent, outer, blocks);
  for (int row = blockIdx.x; row < rows; row += gridDim.x) {
    Tree<LS_TREE_LEVELS> tree;
    for (int j = 0; j < blocks; j++) {
      RowTerm term = {x + (long long)row * extent, cut, j, cut.length(j)};
      tree.push(ls_block_sum(term, cut.count(j), stage));
    }
    if (threadIdx.x == 0) out[row] = tree.join();
  }
}

// The greatest of each row; NaN wins, the greatest of nothing is minus infinity.
extern "C" __global__ void row_max_f32(const float* x, float* out, int rows, int extent) {
  int row = row_of_team();
  if (row >= rows) return;
  const float* from = x + (long long)row * extent;
  float greatest = -ls_infinity();
#pragma unroll 4
  for (int i = ls_team_lane(); i < extent; i += LS_TEAM) {
    greatest = ls_max(greatest, from[i]);
  }
  greatest = ls_team_max(greatest);
  if (ls_team_lane() == 0) out[row] = greatest;
}
