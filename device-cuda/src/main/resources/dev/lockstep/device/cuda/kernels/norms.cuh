// What layer norm and root-mean-square norm share: gradients along a row by a team of 16 threads.
#pragma once

#include "columns.cuh"
#include "types.cuh"

LS_INLINE int ls_team_row() {
  return blockIdx.x * (blockDim.x / LS_TEAM) + threadIdx.x / LS_TEAM;
}

// The mean over a row of (dy gain) normal, with normal = (x - mean) rstd.
template <class T>
LS_INLINE float ls_gradient_along(
    const T* dy, const float* gain, const float* x, float mean, float rstd, int width) {
  float partial = 0.0f;
#pragma unroll 4
  for (int i = ls_team_lane(); i < width; i += LS_TEAM) {
    partial = fmaf(ls_widened(dy[i]) * gain[i], (x[i] - mean) * rstd, partial);
  }
  return ls_team_join(partial) / width;
}

// dx = ((dy gain - c1) - normal c2) rstd; may take the place of dy.
template <class T>
LS_INLINE void ls_gradient_row(
    const T* dy, const float* gain, const float* x, float mean, float rstd, float c1, float c2,
    float* dx, int width) {
#pragma unroll 4
  for (int i = ls_team_lane(); i < width; i += LS_TEAM) {
    float normal = (x[i] - mean) * rstd;
    float h = ls_widened(dy[i]) * gain[i] - c1;
    dx[i] = fmaf(normal, -c2, h) * rstd;
  }
}
