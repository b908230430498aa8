// Softmax cross-entropy over rows of `vocabulary` logits and its gradient: no probabilities are kept,
// the gradient makes them again from each row's logSumExp.
#include "grid.cuh"
#include "sums.cuh"
#include "types.cuh"

// What is kept of a row: its logSumExp, and its loss, 0 where the target is negative.
template <class T>
__device__ __forceinline__ void finish_row(
    const T* x, const int* targets, float logSum, float* logSumExp, float* rowLoss, int row,
    int vocabulary, int* fault) {
  int target = targets[row];
  float loss = 0.0f;
  if (target >= vocabulary) {
    ls_fault(fault, target, row, vocabulary);
  } else if (target >= 0) {
    loss = logSum - ls_widened(x[target]);
  }
  logSumExp[row] = logSum;
  rowLoss[row] = loss;
}

// logSumExp and loss of each row, a team per row, in the CPU device's order.
template <class T>
__device__ __forceinline__ void rows_by_teams(
    const T* logits, const int* targets, float* logSumExp, float* rowLoss, int rows,
    int vocabulary, int outer, int blocks, int* fault) {
  int row = blockIdx.x * (blockDim.x / LS_TEAM) + threadIdx.x / LS_TEAM;
  if (row >= rows) return;
  const T* x = logits + (long long)row * vocabulary;
  float greatest = -ls_infinity();
#pragma unroll 4
  for (int i = ls_team_lane(); i < vocabulary; i += LS_TEAM) {
    greatest = ls_max(greatest, ls_widened(x[i]));
  }
  greatest = ls_team_max(greatest);
  Cut cut(vocabulary, outer, blocks);
  Tree<LS_TREE_LEVELS> tree;
  for (int j = 0; j < blocks; j++) {
    int length = cut.length(j);
    float partial = 0.0f;
#pragma unroll 4
    for (int e = ls_team_lane(); e < outer * length; e += LS_TEAM) {
      partial = partial + ls_exp(ls_widened(x[cut.at(j, length, e)]) - greatest);
    }
    tree.push(ls_team_join(partial));
  }
  if (ls_team_lane() != 0) return;
  float logSum = greatest + ls_log(tree.join());
  finish_row(x, targets, logSum, logSumExp, rowLoss, row, vocabulary, fault);
}

// The greatest of a thread's elements, and the sum of their exponentials less that.
struct Softmax {
  float greatest;
  float sum;

  __device__ __forceinline__ void raise(float to) {
    // What has been added is 0 as long as the greatest is minus infinity.
    sum = sum == 0.0f ? 0.0f : sum * ls_exp(greatest - to);
    greatest = to;
  }
};

// The same, a thread block of 256 per row in one pass: each thread adds every 256th element, some at a
// time, and lowers its sum when it meets a greater one; then the threads' sums are brought to the
// greatest of all and added, in an order of their own whatever the blocks. `ofTeams` is shared memory
// for two numbers a team.
template <class T>
__device__ __forceinline__ void rows_by_blocks(
    const T* logits, const int* targets, float* logSumExp, float* rowLoss, int vocabulary,
    int* fault, float* ofTeams) {
  const int each = 8;
  int row = blockIdx.x;
  int team = threadIdx.x / LS_TEAM;
  const T* x = logits + (long long)row * vocabulary;
  Softmax mine = {-ls_infinity(), 0.0f};
  for (int base = threadIdx.x; base < vocabulary; base += 256 * each) {
    float some[each];
    float greatest = mine.greatest;
#pragma unroll
    for (int i = 0; i < each; i++) {
      int at = base + 256 * i;
      some[i] = at < vocabulary ? ls_widened(x[at]) : -ls_infinity();
      greatest = ls_max(greatest, some[i]);
    }
    if (greatest != mine.greatest) mine.raise(greatest);
#pragma unroll
    for (int i = 0; i < each; i++) {
      bool counts = base + 256 * i < vocabulary && greatest != -ls_infinity();
      if (counts) mine.sum = mine.sum + ls_exp(some[i] - greatest);
    }
  }
  float greatest = ls_team_max(mine.greatest);
  if (ls_team_lane() == 0) ofTeams[team] = greatest;
  __syncthreads();
  greatest = ls_team_max(ofTeams[ls_team_lane()]);
  if (greatest != mine.greatest) mine.raise(greatest);
  float partial = ls_team_join(mine.sum);
  if (ls_team_lane() == 0) ofTeams[16 + team] = partial;
  __syncthreads();
  if (threadIdx.x >= LS_TEAM) return;
  float logSum = greatest + ls_log(ls_team_join(ofTeams[16 + ls_team_lane()]));
  if (threadIdx.x == 0) {
    finish_row(x, targets, logSum, logSumExp, rowLoss, row, vocabulary, fault);
  }
}

#define ROWS(name, T)                                                                        \
  extern "C" __global__ void cross_entropy_rows_##name(                                      \
      const T* logits, const int* targets, float* logSumExp, float* rowLoss, int* fault,     \
      int vocabulary, int rows, int outer, int blocks) {                                     \
    rows_by_teams(                                                                           \
        logits, targets, logSumExp, rowLoss, rows, vocabulary, outer, blocks, fault);        \
  }                                                                                          \
  extern "C" __global__ void __launch_bounds__(256) cross_entropy_long_rows_##name(          \
      const T* logits, const int* targets, float* logSumExp, float* rowLoss, int* fault,     \
      int vocabulary) {                                                                      \
    __shared__ float ofTeams[2 * 16];                                                        \
    rows_by_blocks(logits, targets, logSumExp, rowLoss, vocabulary, fault, ofTeams);         \
  }

ROWS(f32, float)
ROWS(bf16, unsigned short)

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

// (softmax - onehot) dloss, 0 where the target is negative; may take the place of logits of its type.
template <class In, class Out>
__device__ __forceinline__ void gradient(
    const float* dloss, const In* logits, const int* targets, const float* logSumExp, Out* dlogits,
    int rows, int vocabulary) {
  float scale = *dloss;
  for (int row = blockIdx.y; row < rows; row += gridDim.y) {
    const In* x = logits + (long long)row * vocabulary;
    Out* to = dlogits + (long long)row * vocabulary;
    int target = targets[row];
    float shift = logSumExp[row];
#pragma unroll 4
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < vocabulary;
         i += gridDim.x * blockDim.x) {
      float probability = ls_exp(ls_widened(x[i]) - shift);
      float slope = i == target ? probability - 1.0f : probability;
      ls_put(to + i, target < 0 ? 0.0f : slope * scale);
    }
  }
}

#define GRADIENT(in, In, out, Out)                                                        \
  extern "C" __global__ void cross_entropy_grad_##in##_##out(                             \
      const float* dloss, const In* logits, const int* targets, const float* logSumExp,   \
      Out* dlogits, int rows, int vocabulary) {                                           \
    gradient(dloss, logits, targets, logSumExp, dlogits, rows, vocabulary);               \
  }

GRADIENT(f32, float, f32, float)
GRADIENT(f32, float, bf16, unsigned short)
GRADIENT(bf16, unsigned short, f32, float)
GRADIENT(bf16, unsigned short, bf16, unsigned short)
