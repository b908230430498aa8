// How threads share elements: grid-stride loops, so that every grid is right.
#pragma once

#define LS_GRID_INDEX ((long long)blockIdx.x * blockDim.x + threadIdx.x)
#define LS_GRID_STRIDE ((long long)gridDim.x * blockDim.x)

static __device__ __forceinline__ bool ls_aligned(const void* p, unsigned long long bytes) {
  return ((unsigned long long)p & (bytes - 1)) == 0;
}

// Says once what went wrong with an id: fault = {1, id, position, extent}.
static __device__ __forceinline__ void ls_fault(int* fault, int id, int position, int extent) {
  if (atomicCAS(fault, 0, 1) == 0) {
    fault[1] = id;
    fault[2] = position;
    fault[3] = extent;
  }
}
