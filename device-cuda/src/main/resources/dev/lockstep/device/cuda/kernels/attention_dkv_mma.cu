// dk and dv of causal softmax attention with grouped queries by tensor cores: sums over the heads of the
// group in order and each head's queries ascending. Probabilities are made again from logSumExp. Each
// result has one owner: no atomics.
#include "attention_mma.cuh"

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) attention_dkv_mma(
    const Bf16* dout, const Bf16* q, const Bf16* k, const Bf16* v, const float* logSumExp,
    const float* delta, Slope* dk, Slope* dv, Attention a) {
  extern __shared__ __align__(16) float shared[];
  const int queriesSize = QK_TERMS * STREAM * ROW;
  const int stageSize = queriesSize + D_TERMS * STREAM * ROW;
  Bf16* keys = (Bf16*)shared;
  Bf16* values = keys + QK_TERMS * OWNED * ROW;
  Bf16* stages = values + V_TERMS * OWNED * ROW;
  float* rows = (float*)(stages + STAGES * stageSize);  // of each stage logSumExp, then delta
  int firstKey = blockIdx.y * OWNED;
  int group = blockIdx.x % a.groups;
  long long sequence = blockIdx.x / a.groups;
  int share = a.heads / a.groups;
  int count = min(OWNED, a.keys - firstKey);
  long long keyAt = (sequence * a.keys + firstKey) * a.keyStride + group * HEAD_SIZE;
  // Queries before this one see none of these keys.
  int start = max(0, firstKey - a.firstQuery);
  int tiles = start < a.queries ? (a.queries - start + STREAM - 1) / STREAM : 0;
  auto bring = [&](int i, int stage) {
    int head = group * share + i / tiles;
    int query = start + i % tiles * STREAM;
    int inTile = min(STREAM, a.queries - query);
    long long token = sequence * a.queries + query;
    Bf16* tile = stages + stage * stageSize;
    ls_bring<STREAM, QK_TERMS>(
        tile, q + token * a.queryStride + head * HEAD_SIZE, a.queryStride, a.queryPlane, inTile);
    ls_bring<STREAM, D_TERMS>(
        tile + queriesSize, dout + token * a.outStride + head * HEAD_SIZE, a.outStride, a.doutPlane,
        inTile);
    long long row = (sequence * a.heads + head) * a.queries + query;
    for (int t = threadIdx.x; t < 2 * STREAM; t += THREADS) {
      const float* from = t < STREAM ? logSumExp + row + t : delta + row + t - STREAM;
      ls_start_copy4(rows + 2 * STREAM * stage + t, from, t % STREAM < inTile);
    }
  };
  ls_bring<OWNED, QK_TERMS>(keys, k + keyAt, a.keyStride, a.keyPlane, count);
  ls_bring<OWNED, V_TERMS>(values, v + keyAt, a.keyStride, a.valuePlane, count);
  int all = share * tiles;
  if (all > 0) bring(0, 0);
  const float scale2 = a.scale * LS_LOG2_E;
  Owned<QK_TERMS> ownedKeys(keys);
  Owned<V_TERMS> ownedValues(values);
  ls_end_copies();
  __syncthreads();
  ownedKeys.keep();
  ownedValues.keep();
  Sums<HEAD_SIZE / 8> dkeys;
  Sums<HEAD_SIZE / 8> dvalues;
  dkeys.clear();
  dvalues.clear();
  for (int i = 0, stage = 0; i < all; i++) {
    ls_end_copies();
    __syncthreads();
    if (STAGES > 1 && i + 1 < all) bring(i + 1, stage ^ 1);
    const float* shifts = rows + 2 * STREAM * stage;
    // Where the warp's first key stands, counted from the tile's first query.
    int first = firstKey + 16 * ROWS * ls_warp() - a.firstQuery - (start + i % tiles * STREAM);
#pragma unroll 1
    for (int step = 0; step < STREAM; step += STEP) {
      if (step + STEP <= first) continue;
      const Bf16* queries = stages + stage * stageSize + step * ROW;
      const Bf16* douts = queries + queriesSize;
      Sums<STEP / 8> weights;
      Sums<STEP / 8> slopes;
      ls_products<QK_TERMS, QK_TERMS>(ownedKeys, queries, STREAM * ROW, weights);
      ls_products<V_TERMS, D_TERMS>(ownedValues, douts, STREAM * ROW, slopes);
      bool seesAll = first + 16 * ROWS - 1 <= step;
#pragma unroll
      for (int n = 0; n < STEP / 8; n++) {
#pragma unroll
        for (int j = 0; j < 2; j++) {
          int query = step + ls_column(n, j);
          float shift = shifts[query] * LS_LOG2_E;
          float along = shifts[STREAM + query];
#pragma unroll
          for (int r = 0; r < ROWS; r++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
              int e = 2 * half + j;
              bool sees = seesAll || first + 16 * r + ls_lane() / 4 + 8 * half <= query;
              float weight = ls_exp2(fmaf(weights.at[r][n][e], scale2, -shift));
              weight = sees ? weight : 0.0f;
              weights.at[r][n][e] = weight;
              slopes.at[r][n][e] = sees ? weight * (slopes.at[r][n][e] - along) : 0.0f;
            }
          }
        }
      }
      ls_accumulate<D_TERMS>(weights, douts, STREAM * ROW, dvalues);
      ls_accumulate<QK_TERMS>(slopes, queries, STREAM * ROW, dkeys);
    }
    if (STAGES > 1) {
      stage ^= 1;
    } else if (i + 1 < all) {
      __syncthreads();
      bring(i + 1, 0);
    }
  }
  float factor[ROWS][2];
  float one[ROWS][2];
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      factor[r][half] = a.scale;
      one[r][half] = 1.0f;
    }
  }
  ls_store(dk + keyAt, a.keyStride, count, dkeys, factor);
  ls_store(dv + keyAt, a.keyStride, count, dvalues, one);
}
