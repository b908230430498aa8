// What layer norm and root-mean-square norm share: gradients along a row by a team of 16 threads.
#pragma once

#include "columns.cuh"

LS_INLINE int ls_team_row() {
  return blockIdx.x * (blockDim.x / LS_TEAM) + threadIdx.x / LS_TEAM;
}

// The mean over a row of (dy gain) normal, with normal = (x - mean) rstd.
LS_INLINE float ls_gradient_along(
    const float* dy, const float* gain, const float* x, float mean, float rstd, int width) {
  float partial = 0.0f;
#pragma unroll 4
  for (int i = ls_team_lane(); i < width; i += LS_TEAM) {
    partial = fmaf(dy[i] * gain[i], (x[i] - mean) * rstd, partial);
  }
  return ls_team_join(partial) / width;
}

// dx = ((dy gain - c1) - normal c2) rstd; may take the place of dy.
LS_INLINE void ls_gradient_row(
    const float* dy, const float* gain, const float* x, float mean, float rstd, float c1, float c2,
    float* dx, int width) {
#pragma unroll 4
  for (int i = ls_team_lane(); i < width; i += LS_TEAM) {
    float normal = (x[i] - mean) * rstd;
    float h = dy[i] * gain[i] - c1;
    dx[i] = fmaf(normal, -c2, h) * rstd;
  }
}
