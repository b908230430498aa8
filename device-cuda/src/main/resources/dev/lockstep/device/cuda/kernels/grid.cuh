// How threads share elements: grid-stride loops, so that every grid is right.
#pragma once

#define LS_GRID_INDEX ((long long)blockIdx.x * blockDim.x + threadIdx.x)
#define LS_GRID_STRIDE ((long long)gridDim.x * blockDim.x)

// Whether indices up to n and a grid's stride beyond it fit 32 bits: a division of 64 bits takes a GPU
// some dozens of instructions, more than moving an element.
#define LS_IS_SMALL(n) ((n) < 0x40000000LL)

static __device__ __forceinline__ bool ls_aligned(const void* p, unsigned long long bytes) {
  return ((unsigned long long)p & (bytes - 1)) == 0;
}

// Says once what went wrong with an id: fault = {1, id, position, extent, whether somebody writes}. The 1
// comes last: the host may look while a later run of the program is under way.
static __device__ __forceinline__ void ls_fault(int* fault, int id, int position, int extent) {
  if (atomicCAS(fault + 4, 0, 1) == 0) {
    fault[1] = id;
    fault[2] = position;
    fault[3] = extent;
    __threadfence_system();
    *(volatile int*)fault = 1;
  }
}
