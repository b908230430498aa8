// float32 as three planes of bfloat16 whose sum it is: the rounded numbers, the rounded rests, and what
// is left of those.
#include "grid.cuh"
#include "mma.cuh"

extern "C" __global__ void split_f32(const float* from, Bf16* planes, long long n) {
  for (long long i = LS_GRID_INDEX; i < n / 2; i += LS_GRID_STRIDE) {
    unsigned terms[3];
    ls_split_pair(from[2 * i], from[2 * i + 1], terms);
#pragma unroll
    for (int term = 0; term < 3; term++) {
      ((unsigned*)(planes + term * n))[i] = terms[term];
    }
  }
}
