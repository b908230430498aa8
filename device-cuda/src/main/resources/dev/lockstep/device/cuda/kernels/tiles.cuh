// Tiles of queries, keys and values in shared memory, and products of them: what attention and its
// gradients share.
//
// A tile is TILE tokens of one head, padded to WIDTH features with zeros; 256 threads stand in a
// square of 16 x 16. A thread (y, x) makes M x M scores, of tokens y M + r and x + 16 c, and M x C
// elements of a result, of tokens y M + r and features x + 16 c.
#pragma once

#include "sums.cuh"

#ifndef HEAD_SIZE
#define HEAD_SIZE 64
#endif
#ifndef TILE
#define TILE 64
#endif

#define C ((HEAD_SIZE + 15) / 16)
#define WIDTH (16 * C)
#define ROW (WIDTH + 4)
#define M (TILE / 16)
#define COLUMN (TILE + 4)

struct Attention {
  int batch;
  int queries;
  int keys;
  int firstQuery;
  int heads;
  int groups;
  int queryBlocks;
  int pad;
  long long queryStride;
  long long keyStride;
  long long outStride;
  float scale;
  int pad2;
};

LS_INLINE int ls_y() { return threadIdx.x / 16; }

LS_INLINE int ls_x() { return threadIdx.x % 16; }

// Brings `count` tokens, `stride` elements apart, into a tile; the rest of it becomes zero.
LS_INLINE void ls_load_tile(float* tile, const float* from, long long stride, int count) {
  bool vectors = HEAD_SIZE % 4 == 0 && stride % 4 == 0 && ((unsigned long long)from & 15) == 0;
  if (vectors) {
    for (int i = threadIdx.x; i < TILE * (WIDTH / 4); i += 256) {
      int token = i / (WIDTH / 4);
      int feature = i % (WIDTH / 4) * 4;
      float4 four = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      if (token < count && feature < HEAD_SIZE) {
        four = *(const float4*)(from + token * stride + feature);
      }
      *(float4*)(tile + token * ROW + feature) = four;
    }
    return;
  }
  for (int i = threadIdx.x; i < TILE * WIDTH; i += 256) {
    int token = i / WIDTH;
    int feature = i % WIDTH;
    bool inside = token < count && feature < HEAD_SIZE;
    tile[token * ROW + feature] = inside ? from[token * stride + feature] : 0.0f;
  }
}

// products[r][c]: one chain over ascending features of tokens y M + r of `a` and x + 16 c of `b`.
LS_INLINE void ls_products(const float* a, const float* b, float (&products)[M][M]) {
#pragma unroll
  for (int r = 0; r < M; r++) {
#pragma unroll
    for (int c = 0; c < M; c++) {
      products[r][c] = 0.0f;
    }
  }
#pragma unroll 2
  for (int d = 0; d < (HEAD_SIZE + 3) / 4 * 4; d += 4) {
    float4 right[M];
#pragma unroll
    for (int c = 0; c < M; c++) {
      right[c] = *(const float4*)(b + (ls_x() + 16 * c) * ROW + d);
    }
#pragma unroll
    for (int r = 0; r < M; r++) {
      float4 left = *(const float4*)(a + (ls_y() * M + r) * ROW + d);
#pragma unroll
      for (int c = 0; c < M; c++) {
        float sum = fmaf(left.x, right[c].x, products[r][c]);
        sum = fmaf(left.y, right[c].y, sum);
        sum = fmaf(left.z, right[c].z, sum);
        products[r][c] = fmaf(left.w, right[c].w, sum);
      }
    }
  }
}

// Puts what a thread made of (y M + r, x + 16 c) where tokens y M + r lie side by side.
LS_INLINE void ls_store_weights(float* weights, const float (&values)[M][M]) {
#pragma unroll
  for (int c = 0; c < M; c++) {
#pragma unroll
    for (int r = 0; r < M; r++) {
      weights[(ls_x() + 16 * c) * COLUMN + ls_y() * M + r] = values[r][c];
    }
  }
}

// sums[r][c] += weight of (j, token y M + r) * feature x + 16 c of token j of the tile, for j from 0
// to `count` ascending. Where token j is hidden from a row (`first` says from which j on it is seen,
// `last` up to which), nothing is added, not even a zero: the hidden one may be infinite.
LS_INLINE void ls_accumulate(
    const float* weights, const float* tile, int count, const int (&first)[M], const int (&last)[M],
    float (&sums)[M][C]) {
  bool all = true;
#pragma unroll
  for (int r = 0; r < M; r++) {
    all = all && first[r] <= 0 && last[r] >= count;
  }
  if (all) {
#pragma unroll 2
    for (int j = 0; j < count; j++) {
      float row[C];
#pragma unroll
      for (int c = 0; c < C; c++) {
        row[c] = tile[j * ROW + ls_x() + 16 * c];
      }
#pragma unroll
      for (int r = 0; r < M; r++) {
        float weight = weights[j * COLUMN + ls_y() * M + r];
#pragma unroll
        for (int c = 0; c < C; c++) {
          sums[r][c] = fmaf(weight, row[c], sums[r][c]);
        }
      }
    }
    return;
  }
  for (int j = 0; j < count; j++) {
#pragma unroll
    for (int r = 0; r < M; r++) {
      if (j >= first[r] && j < last[r]) {
        float weight = weights[j * COLUMN + ls_y() * M + r];
#pragma unroll
        for (int c = 0; c < C; c++) {
          sums[r][c] = fmaf(weight, tile[j * ROW + ls_x() + 16 * c], sums[r][c]);
        }
      }
    }
  }
}

// Writes this thread's part of `count` tokens' results.
LS_INLINE void ls_store_tile(
    float* to, long long stride, int count, const float (&sums)[M][C], const float (&factor)[M]) {
#pragma unroll
  for (int r = 0; r < M; r++) {
    int token = ls_y() * M + r;
#pragma unroll
    for (int c = 0; c < C; c++) {
      int feature = ls_x() + 16 * c;
      if (token < count && feature < HEAD_SIZE) to[token * stride + feature] = sums[r][c] * factor[r];
    }
  }
}
