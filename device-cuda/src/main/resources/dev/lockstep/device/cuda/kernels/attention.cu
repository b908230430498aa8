// Causal softmax attention with grouped queries, in the CPU device's order: scores are one chain over
// the head size, sums over keys ascend, the softmax's divisor is 16 strided partial sums. Each query's
// greatest score is found first and then the scores are made again, so that no sum is ever rescaled.
// Nothing of [queries, keys] is stored.
#include "tiles.cuh"

extern "C" __global__ void __launch_bounds__(256, 1) attention_f32(
    const float* q, const float* k, const float* v, float* out, float* logSumExp, Attention a) {
  extern __shared__ __align__(16) float shared[];
  float* queries = shared;
  float* keys = queries + TILE * ROW;
  float* weights = keys + TILE * ROW;
  int firstQuery = blockIdx.x * TILE;
  int head = blockIdx.y;
  long long sequence = blockIdx.z;
  int group = head / (a.heads / a.groups);
  int count = min(TILE, a.queries - firstQuery);
  long long token = sequence * a.queries + firstQuery;
  long long keyOffset = sequence * a.keys * a.keyStride + group * HEAD_SIZE;
  ls_load_tile(queries, q + token * a.queryStride + head * HEAD_SIZE, a.queryStride, count);
  // How many keys each query sees, and any of them.
  int seen[M];
  const int none[M] = {};
  float greatest[M];
#pragma unroll
  for (int r = 0; r < M; r++) {
    seen[r] = a.firstQuery + firstQuery + ls_y() * M + r + 1;
    greatest[r] = -ls_infinity();
  }
  int end = min(a.keys, a.firstQuery + firstQuery + count);
  float scores[M][M];
  for (int key = 0; key < end; key += TILE) {
    __syncthreads();
    ls_load_tile(keys, k + keyOffset + key * a.keyStride, a.keyStride, min(TILE, a.keys - key));
    __syncthreads();
    ls_products(queries, keys, scores);
#pragma unroll
    for (int r = 0; r < M; r++) {
#pragma unroll
      for (int c = 0; c < M; c++) {
        if (key + ls_x() + 16 * c < seen[r]) {
          greatest[r] = ls_max(greatest[r], scores[r][c] * a.scale);
        }
      }
    }
  }
  float divisor[M];
#pragma unroll
  for (int r = 0; r < M; r++) {
    greatest[r] = ls_team_max(greatest[r]);
    divisor[r] = 0.0f;
  }
  float sums[M][C] = {};
  for (int key = 0; key < end; key += TILE) {
    __syncthreads();
    int inTile = min(TILE, a.keys - key);
    ls_load_tile(keys, k + keyOffset + key * a.keyStride, a.keyStride, inTile);
    __syncthreads();
    ls_products(queries, keys, scores);
    int last[M];
#pragma unroll
    for (int r = 0; r < M; r++) {
      last[r] = seen[r] - key;
#pragma unroll
      for (int c = 0; c < M; c++) {
        // Key j goes to partial j mod 16, which is this thread's x.
        bool sees = ls_x() + 16 * c < last[r];
        scores[r][c] = sees ? ls_exp(scores[r][c] * a.scale - greatest[r]) : 0.0f;
        divisor[r] = divisor[r] + scores[r][c];
      }
    }
    ls_store_weights(weights, scores);
    __syncthreads();
    ls_load_tile(keys, v + keyOffset + key * a.keyStride, a.keyStride, inTile);
    __syncthreads();
    ls_accumulate(weights, keys, min(inTile, end - key), none, last, sums);
  }
#pragma unroll
  for (int r = 0; r < M; r++) {
    divisor[r] = ls_team_join(divisor[r]);
    int query = ls_y() * M + r;
    if (ls_x() == 0 && query < count) {
      long long row = (sequence * a.heads + head) * a.queries + firstQuery + query;
      logSumExp[row] = greatest[r] + ls_log(divisor[r]);
    }
    divisor[r] = 1.0f / divisor[r];
  }
  float* to = out + token * a.outStride + head * HEAD_SIZE;
  ls_store_tile(to, a.outStride, count, sums, divisor);
}
