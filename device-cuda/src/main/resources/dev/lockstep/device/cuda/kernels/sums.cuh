// Sums in the order that the graph's definition fixes, whatever the grid.
//
// A row is summed by a team of 16 threads (half a warp): element i goes to partial i mod 16, the
// partials are joined as ((p0+p8)+(p4+p12)) + ...: what the CPU device does. Where a row is cut into
// blocks (graph Blocks), each block is summed so and the blocks are joined by the tree T.
#pragma once

#include "math.cuh"

#define LS_TEAM 16

LS_INLINE int ls_team_lane() { return threadIdx.x & (LS_TEAM - 1); }

LS_INLINE unsigned ls_team_mask() { return 0xFFFFu << (threadIdx.x & LS_TEAM); }

// Joins the 16 partials of a team; every thread gets the sum.
LS_INLINE float ls_team_join(float partial) {
  unsigned mask = ls_team_mask();
  partial = partial + __shfl_xor_sync(mask, partial, 8);
  partial = partial + __shfl_xor_sync(mask, partial, 4);
  partial = partial + __shfl_xor_sync(mask, partial, 2);
  return partial + __shfl_xor_sync(mask, partial, 1);
}

// The greatest of a team's 16 partial maxima; every thread gets it.
LS_INLINE float ls_team_max(float partial) {
  unsigned mask = ls_team_mask();
  partial = ls_max(partial, __shfl_xor_sync(mask, partial, 8));
  partial = ls_max(partial, __shfl_xor_sync(mask, partial, 4));
  partial = ls_max(partial, __shfl_xor_sync(mask, partial, 2));
  return ls_max(partial, __shfl_xor_sync(mask, partial, 1));
}

// How an extent is cut: block j takes, of each of `outer` slices of `inner` elements, the range
// [start(j), start(j + 1)), slice after slice.
struct Cut {
  int inner;
  int outer;
  int blocks;

  __device__ __forceinline__ Cut(int extent, int outer, int blocks)
      : inner(extent / outer), outer(outer), blocks(blocks) {}

  __device__ __forceinline__ int start(int j) const {
    return (int)((long long)j * inner / blocks);
  }

  __device__ __forceinline__ int length(int j) const { return start(j + 1) - start(j); }

  // Number of elements of block j.
  __device__ __forceinline__ int count(int j) const { return outer * length(j); }

  // Where element `e` of block j, whose slices have `length` elements, stands in the extent.
  __device__ __forceinline__ int at(int j, int length, int e) const {
    return outer == 1 ? start(j) + e : e / length * inner + start(j) + e % length;
  }
};

// The tree T of leaves that are pushed one after another: a binary counter of complete subtrees.
// Serves up to 2^LEVELS - 1 leaves.
template <int LEVELS>
struct Tree {
  float level[LEVELS];
  int leaves;

  __device__ __forceinline__ Tree() : leaves(0) {}

  __device__ __forceinline__ void push(float leaf) {
    bool carries = true;
#pragma unroll
    for (int k = 0; k < LEVELS; k++) {
      bool full = (leaves >> k) & 1;
      float joined = full ? level[k] + leaf : leaf;
      if (carries && !full) level[k] = leaf;
      leaf = carries ? joined : leaf;
      carries = carries && full;
    }
    leaves++;
  }

  __device__ __forceinline__ float join() const {
    float sum = 0.0f;
    bool first = true;
#pragma unroll
    for (int k = 0; k < LEVELS; k++) {
      if ((leaves >> k) & 1) {
        sum = first ? level[k] : level[k] + sum;
        first = false;
      }
    }
    return sum;
  }
};

#define LS_TREE_LEVELS 12

#define LS_STAGE 2048

// Sums terms 0 ... n-1 by a thread block of 256, in a team's order: all threads load, the first
// team adds. `stage` has room for LS_STAGE floats of shared memory. Every thread gets the sum.
template <class Term>
__device__ float ls_block_sum(const Term& term, int n, float* stage) {
  const int each = LS_STAGE / 256;
  float next[each];
  float partial = 0.0f;
#pragma unroll
  for (int i = 0; i < each; i++) {
    int e = threadIdx.x + 256 * i;
    next[i] = e < n ? term(e) : 0.0f;
  }
  for (int base = 0; base < n; base += LS_STAGE) {
#pragma unroll
    for (int i = 0; i < each; i++) {
      stage[threadIdx.x + 256 * i] = next[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < each; i++) {
      int e = base + LS_STAGE + threadIdx.x + 256 * i;
      next[i] = e < n ? term(e) : 0.0f;
    }
    if (threadIdx.x < LS_TEAM) {
      // Beyond the end stand zeros, which change no partial: none is -0.
#pragma unroll 8
      for (int i = threadIdx.x; i < LS_STAGE; i += LS_TEAM) {
        partial = Term::add(stage[i], partial);
      }
    }
    __syncthreads();
  }
  if (threadIdx.x < LS_TEAM) {
    partial = ls_team_join(partial);
    if (threadIdx.x == 0) stage[0] = partial;
  }
  __syncthreads();
  float sum = stage[0];
  __syncthreads();
  return sum;
}
