// Softmax cross-entropy over rows of `vocabulary` logits and its gradient: no probabilities are kept,
// the gradient makes them again from each row's logSumExp.
#include "grid.cuh"
#include "sums.cuh"

// logSumExp and loss of each row, a team per row; the loss is 0 where the target is negative.
extern "C" __global__ void cross_entropy_rows_f32(
    const float* logits, const int* targets, float* logSumExp, float* rowLoss, int rows,
    int vocabulary, int outer, int blocks, int* fault) {
  int row = blockIdx.x * (blockDim.x / LS_TEAM) + threadIdx.x / LS_TEAM;
  if (row >= rows) return;
  const float* x = logits + (long long)row * vocabulary;
  float greatest = -ls_infinity();
#pragma unroll 4
  for (int i = ls_team_lane(); i < vocabulary; i += LS_TEAM) {
    greatest = ls_max(greatest, x[i]);
  }
  greatest = ls_team_max(greatest);
  Cut cut(vocabulary, outer, blocks);
  Tree<LS_TREE_LEVELS> tree;
  for (int j = 0; j < blocks; j++) {
    int length = cut.length(j);
    float partial = 0.0f;
#pragma unroll 4
    for (int e = ls_team_lane(); e < outer * length; e += LS_TEAM) {
      partial = partial + ls_exp(x[cut.at(j, length, e)] - greatest);
    }
    tree.push(ls_team_join(partial));
  }
  if (ls_team_lane() != 0) return;
  float logSum = greatest + ls_log(tree.join());
  int target = targets[row];
  float loss = 0.0f;
  if (target >= vocabulary) {
    ls_fault(fault, target, row, vocabulary);
  } else if (target >= 0) {
    loss = logSum - x[target];
  }
  logSumExp[row] = logSum;
  rowLoss[row] = loss;
}

struct LossTerm {
  const float* losses;
  Cut cut;
  int block;
  int length;

  __device__ __forceinline__ float operator()(int e) const {
    return losses[cut.at(block, length, e)];
  }

  static __device__ __forceinline__ float add(float term, float sum) { return sum + term; }
};

// The sum of all rows' losses in blocks of tokens, and how many rows have a target: one thread block
// of 256.
extern "C" __global__ void __launch_bounds__(256) cross_entropy_sum_f32(
    const float* rowLoss, const int* targets, float* lossSum, float* count, int rows, int outer,
    int blocks) {
  __shared__ float stage[LS_STAGE];
  __shared__ int counts[8];
  Cut cut(rows, outer, blocks);
  Tree<LS_TREE_LEVELS> tree;
  for (int j = 0; j < blocks; j++) {
    LossTerm term = {rowLoss, cut, j, cut.length(j)};
    tree.push(ls_block_sum(term, cut.count(j), stage));
  }
  int counted = 0;
  for (int row = threadIdx.x; row < rows; row += 256) {
    counted += targets[row] >= 0;
  }
  for (int distance = 16; distance > 0; distance /= 2) {
    counted += __shfl_xor_sync(0xFFFFFFFFu, counted, distance);
  }
  if (threadIdx.x % 32 == 0) counts[threadIdx.x / 32] = counted;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int warp = 1; warp < 8; warp++) {
      counted += counts[warp];
    }
    *lossSum = tree.join();
    *count = (float)counted;
  }
}

// (softmax - onehot) dloss, 0 where the target is negative; may take the place of the logits.
extern "C" __global__ void cross_entropy_grad_f32(
    const float* dloss, const float* logits, const int* targets, const float* logSumExp,
    float* dlogits, int rows, int vocabulary) {
  float scale = *dloss;
  for (int row = blockIdx.y; row < rows; row += gridDim.y) {
    const float* x = logits + (long long)row * vocabulary;
    float* to = dlogits + (long long)row * vocabulary;
    int target = targets[row];
    float shift = logSumExp[row];
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < vocabulary;
         i += gridDim.x * blockDim.x) {
      float probability = ls_exp(x[i] - shift);
      float slope = i == target ? probability - 1.0f : probability;
      to[i] = target < 0 ? 0.0f : slope * scale;
    }
  }
}
