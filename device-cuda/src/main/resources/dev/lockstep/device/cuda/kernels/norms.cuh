// What layer norm and root-mean-square norm share: gradients along a row by a team of 16 threads.
#pragma once

#include "columns.cuh"
#include "types.cuh"

// Walks over a thread's elements of a row: the `k`th of them is element `i`. Compiled for one WIDTH, a
// multiple of 16, the walk is unrolled.
#ifdef WIDTH
#define LS_AHEAD 8
#define LS_ALONG_ROW(width) \
  _Pragma("unroll") for (int k = 0, i = ls_team_lane(); k < WIDTH / LS_TEAM; k++, i += LS_TEAM)
#else
#define LS_AHEAD 1
#define LS_ALONG_ROW(width) \
  _Pragma("unroll 4") for (int k = 0, i = ls_team_lane(); i < width; k++, i += LS_TEAM)
#endif

// A row that is passed over several times: in registers where its width is known, so that it is read
// once and all at a time, else in memory.
template <class T>
struct Row {
#ifdef WIDTH
  float kept[WIDTH / LS_TEAM];

  __device__ __forceinline__ explicit Row(const T* from) {
    LS_ALONG_ROW(WIDTH) { kept[k] = ls_widened(from[i]); }
  }

  __device__ __forceinline__ float at(int, int k) const { return kept[k]; }
#else
  const T* from;

  __device__ __forceinline__ explicit Row(const T* from) : from(from) {}

  __device__ __forceinline__ float at(int i, int) const { return ls_widened(from[i]); }
#endif
};

LS_INLINE int ls_team_row() {
  return blockIdx.x * (blockDim.x / LS_TEAM) + threadIdx.x / LS_TEAM;
}

// The mean over a row of (dy gain) normal, with normal = (x - mean) rstd.
template <class T>
LS_INLINE float ls_gradient_along(
    const Row<T>& dy, const float* gain, const Row<float>& x, float mean, float rstd, int width) {
  float partial = 0.0f;
  LS_ALONG_ROW(width) {
    partial = fmaf(dy.at(i, k) * gain[i], (x.at(i, k) - mean) * rstd, partial);
  }
  return ls_team_join(partial) / width;
}

// What is done with a gradient: `other` is added to it, and the sum is written once more, rounded to
// bfloat16; either may be missing.
struct Tail {
  const float* other;
  unsigned short* rounded;

  // The tail of the row that begins at element `first`.
  __device__ __forceinline__ Tail at(long long first) const {
    return {other ? other + first : other, rounded ? rounded + first : rounded};
  }

  __device__ __forceinline__ float read(int i) const { return other ? other[i] : 0.0f; }

  __device__ __forceinline__ void write(float* to, int i, float x, float added) const {
    float sum = other ? x + added : x;
    to[i] = sum;
    if (rounded) rounded[i] = ls_to_bf16(sum);
  }
};

// dx = ((dy gain - c1) - normal c2) rstd, with its tail; may take the place of dy or of what is added.
template <class T>
LS_INLINE void ls_gradient_row(
    const Row<T>& dy, const float* gain, const Row<float>& x, float mean, float rstd, float c1,
    float c2, float* dx, const Tail& tail, int width) {
  const int ahead = LS_AHEAD;  // what is added is read in groups, each before it is written
  float added[ahead];
  LS_ALONG_ROW(width) {
    if (k % ahead == 0) {
#pragma unroll
      for (int j = 0; j < ahead; j++) {
        int next = i + j * LS_TEAM;
        if (next < width) added[j] = tail.read(next);
      }
    }
    float normal = (x.at(i, k) - mean) * rstd;
    float h = dy.at(i, k) * gain[i] - c1;
    tail.write(dx, i, fmaf(normal, -c2, h) * rstd, added[k % ahead]);
  }
}
