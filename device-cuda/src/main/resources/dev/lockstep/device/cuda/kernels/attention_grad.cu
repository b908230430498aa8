// The gradient of causal softmax attention with grouped queries. Probabilities are made again from
// logSumExp. dq adds over ascending keys; dk and dv add over the queries of each block, which
// join_parts_f32 joins. Each result has one owner: no atomics.
#include "tiles.cuh"

// delta[sequence, head, query] = dout . out, a team of 16 threads per query.
extern "C" __global__ void attention_delta_f32(
    const float* dout, const float* out, float* delta, Attention a) {
  long long row = (long long)blockIdx.x * (blockDim.x / LS_TEAM) + threadIdx.x / LS_TEAM;
  if (row >= (long long)a.batch * a.heads * a.queries) return;
  long long query = row % a.queries;
  long long head = row / a.queries % a.heads;
  long long sequence = row / a.queries / a.heads;
  long long at = (sequence * a.queries + query) * a.outStride + head * HEAD_SIZE;
  float partial = 0.0f;
  for (int d = ls_team_lane(); d < HEAD_SIZE; d += LS_TEAM) {
    partial = fmaf(dout[at + d], out[at + d], partial);
  }
  partial = ls_team_join(partial);
  if (ls_team_lane() == 0) delta[row] = partial;
}

// dq: a thread block per tile of queries adds over ascending keys.
extern "C" __global__ void __launch_bounds__(256, 1) attention_dq_f32(
    const float* dout, const float* q, const float* k, const float* v, const float* logSumExp,
    const float* delta, float* dq, Attention a) {
  extern __shared__ __align__(16) float shared[];
  float* queries = shared;
  float* douts = queries + TILE * ROW;
  float* keys = douts + TILE * ROW;
  float* values = keys + TILE * ROW;
  float* weights = values + TILE * ROW;
  int firstQuery = blockIdx.x * TILE;
  int head = blockIdx.y;
  long long sequence = blockIdx.z;
  int group = head / (a.heads / a.groups);
  int count = min(TILE, a.queries - firstQuery);
  long long token = sequence * a.queries + firstQuery;
  long long keyOffset = sequence * a.keys * a.keyStride + group * HEAD_SIZE;
  ls_load_tile(queries, q + token * a.queryStride + head * HEAD_SIZE, a.queryStride, count);
  ls_load_tile(douts, dout + token * a.outStride + head * HEAD_SIZE, a.outStride, count);
  long long row = (sequence * a.heads + head) * a.queries + firstQuery;
  float shift[M];
  float along[M];
  int seen[M];
  const int none[M] = {};
#pragma unroll
  for (int r = 0; r < M; r++) {
    int query = ls_y() * M + r;
    shift[r] = query < count ? logSumExp[row + query] : 0.0f;
    along[r] = query < count ? delta[row + query] : 0.0f;
    seen[r] = a.firstQuery + firstQuery + query + 1;
  }
  float sums[M][C] = {};
  int end = min(a.keys, a.firstQuery + firstQuery + count);
  for (int key = 0; key < end; key += TILE) {
    __syncthreads();
    int inTile = min(TILE, a.keys - key);
    ls_load_tile(keys, k + keyOffset + key * a.keyStride, a.keyStride, inTile);
    ls_load_tile(values, v + keyOffset + key * a.keyStride, a.keyStride, inTile);
    __syncthreads();
    float scores[M][M];
    float slopes[M][M];
    ls_products(queries, keys, scores);
    ls_products(douts, values, slopes);
    int last[M];
#pragma unroll
    for (int r = 0; r < M; r++) {
      last[r] = seen[r] - key;
#pragma unroll
      for (int c = 0; c < M; c++) {
        float probability = ls_exp(scores[r][c] * a.scale - shift[r]);
        scores[r][c] = (probability * (slopes[r][c] - along[r])) * a.scale;
      }
    }
    ls_store_weights(weights, scores);
    __syncthreads();
    ls_accumulate(weights, keys, min(inTile, end - key), none, last, sums);
  }
  float one[M];
#pragma unroll
  for (int r = 0; r < M; r++) {
    one[r] = 1.0f;
  }
  float* to = dq + token * a.queryStride + head * HEAD_SIZE;
  ls_store_tile(to, a.queryStride, count, sums, one);
}

// dk and dv of one block of queries: a thread block per tile of keys adds over the heads of the group
// in order and the queries of each ascending.
extern "C" __global__ void __launch_bounds__(256, 1) attention_dkv_f32(
    const float* dout, const float* q, const float* k, const float* v, const float* logSumExp,
    const float* delta, float* dk, float* dv, Attention a, long long gradStride,
    long long blockStride) {
  extern __shared__ __align__(16) float shared[];
  float* keys = shared;
  float* values = keys + TILE * ROW;
  float* queries = values + TILE * ROW;
  float* douts = queries + TILE * ROW;
  float* weights = douts + TILE * ROW;  // probabilities, then slopes
  int firstKey = blockIdx.x * TILE;
  int group = blockIdx.y / a.queryBlocks;
  int block = blockIdx.y % a.queryBlocks;
  long long sequence = blockIdx.z;
  int share = a.heads / a.groups;
  int count = min(TILE, a.keys - firstKey);
  Cut cut(a.queries, 1, a.queryBlocks);
  int end = cut.start(block + 1);
  // Queries before this one see none of these keys.
  int start = max(cut.start(block), firstKey - a.firstQuery);
  long long keyOffset =
      (sequence * a.keys + firstKey) * a.keyStride + group * HEAD_SIZE;
  ls_load_tile(keys, k + keyOffset, a.keyStride, count);
  ls_load_tile(values, v + keyOffset, a.keyStride, count);
  float dkeys[M][C] = {};
  float dvalues[M][C] = {};
  for (int head = group * share; head < (group + 1) * share; head++) {
    long long row = (sequence * a.heads + head) * a.queries;
    for (int query = start; query < end; query += TILE) {
      int inTile = min(TILE, end - query);
      long long token = sequence * a.queries + query;
      __syncthreads();
      ls_load_tile(queries, q + token * a.queryStride + head * HEAD_SIZE, a.queryStride, inTile);
      ls_load_tile(douts, dout + token * a.outStride + head * HEAD_SIZE, a.outStride, inTile);
      __syncthreads();
      float scores[M][M];
      float slopes[M][M];
      ls_products(keys, queries, scores);
      ls_products(values, douts, slopes);
#pragma unroll
      for (int c = 0; c < M; c++) {
        int i = ls_x() + 16 * c;
        float shift = i < inTile ? logSumExp[row + query + i] : 0.0f;
        float along = i < inTile ? delta[row + query + i] : 0.0f;
#pragma unroll
        for (int r = 0; r < M; r++) {
          scores[r][c] = ls_exp(scores[r][c] * a.scale - shift);
          slopes[r][c] = (scores[r][c] * (slopes[r][c] - along)) * a.scale;
        }
      }
      int first[M];
      int last[M];
#pragma unroll
      for (int r = 0; r < M; r++) {
        first[r] = firstKey + ls_y() * M + r - a.firstQuery - query;
        last[r] = inTile;
      }
      ls_store_weights(weights, scores);
      __syncthreads();
      ls_accumulate(weights, douts, inTile, first, last, dvalues);
      __syncthreads();
      ls_store_weights(weights, slopes);
      __syncthreads();
      ls_accumulate(weights, queries, inTile, first, last, dkeys);
    }
  }
  float one[M];
#pragma unroll
  for (int r = 0; r < M; r++) {
    one[r] = 1.0f;
  }
  long long to =
      block * blockStride + (sequence * a.keys + firstKey) * gradStride + group * HEAD_SIZE;
  ls_store_tile(dk + to, gradStride, count, dkeys, one);
  ls_store_tile(dv + to, gradStride, count, dvalues, one);
}
