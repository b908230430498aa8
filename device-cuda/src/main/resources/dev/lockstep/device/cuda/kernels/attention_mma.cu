// Causal softmax attention with grouped queries by tensor cores. Tiles of keys ascend; what is summed
// so far is rescaled when a tile brings a greater score. Nothing of [queries, keys] is stored.
#include "attention_mma.cuh"

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) attention_mma(
    const Bf16* q, const Bf16* k, const Bf16* v, float* out, float* logSumExp, Attention a) {
  extern __shared__ __align__(16) float shared[];
  const int keysSize = QK_TERMS * STREAM * ROW;
  const int stageSize = keysSize + V_TERMS * STREAM * ROW;
  Bf16* queries = (Bf16*)shared;
  Bf16* stages = queries + QK_TERMS * OWNED * ROW;
  // The longest rows first, so that none is left to the end.
  int firstQuery = (gridDim.y - 1 - blockIdx.y) * OWNED;
  int head = blockIdx.x % a.heads;
  long long sequence = blockIdx.x / a.heads;
  int group = head / (a.heads / a.groups);
  int count = min(OWNED, a.queries - firstQuery);
  long long token = sequence * a.queries + firstQuery;
  q += token * a.queryStride + head * HEAD_SIZE;
  k += sequence * a.keys * a.keyStride + group * HEAD_SIZE;
  v += sequence * a.keys * a.keyStride + group * HEAD_SIZE;
  int end = min(a.keys, a.firstQuery + firstQuery + count);
  auto bring = [&](int key, int stage) {
    Bf16* tile = stages + stage * stageSize;
    int inTile = min(STREAM, a.keys - key);
    ls_bring<STREAM, QK_TERMS>(tile, k + key * a.keyStride, a.keyStride, a.keyPlane, inTile);
    ls_bring<STREAM, V_TERMS>(
        tile + keysSize, v + key * a.keyStride, a.keyStride, a.valuePlane, inTile);
  };
  ls_bring<OWNED, QK_TERMS>(queries, q, a.queryStride, a.queryPlane, count);
  if (end > 0) bring(0, 0);
  const float scale2 = a.scale * LS_LOG2_E;
  // Positions of the warp's first and last query among the keys.
  int first = a.firstQuery + firstQuery + 16 * ROWS * ls_warp();
  int last = first + 16 * ROWS - 1;
  float greatest[ROWS][2];
  float divisor[ROWS][2];
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      greatest[r][half] = -ls_infinity();
      divisor[r][half] = 0.0f;
    }
  }
  Sums<HEAD_SIZE / 8> sums;
  sums.clear();
  Owned<QK_TERMS> owned(queries);
  ls_end_copies();
  __syncthreads();
  owned.keep();
  for (int key = 0, stage = 0; key < end; key += STREAM) {
    ls_end_copies();
    __syncthreads();
    if (STAGES > 1 && key + STREAM < end) bring(key + STREAM, stage ^ 1);
    if (key <= last) {
      const Bf16* keys = stages + stage * stageSize;
      Sums<STREAM / 8> scores;
      ls_products<QK_TERMS, QK_TERMS>(owned, keys, STREAM * ROW, scores);
      bool all = key + STREAM - 1 <= first && key + STREAM <= a.keys;
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
          int seen = min(a.keys, a.firstQuery + firstQuery + ls_token(r, half) + 1) - key;
          float most = greatest[r][half];
#pragma unroll
          for (int n = 0; n < STREAM / 8; n++) {
#pragma unroll
            for (int i = 2 * half; i < 2 * half + 2; i++) {
              if (!all && ls_column(n, i) >= seen) scores.at[r][n][i] = -ls_infinity();
              most = fmaxf(most, scores.at[r][n][i]);
            }
          }
          most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 1));
          most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 2));
          float shift = most * scale2;
          float rescale = ls_exp2(fmaf(greatest[r][half], scale2, -shift));
          float sum = 0.0f;
#pragma unroll
          for (int n = 0; n < STREAM / 8; n++) {
#pragma unroll
            for (int i = 2 * half; i < 2 * half + 2; i++) {
              scores.at[r][n][i] = ls_exp2(fmaf(scores.at[r][n][i], scale2, -shift));
              sum += scores.at[r][n][i];
            }
          }
          divisor[r][half] = fmaf(divisor[r][half], rescale, sum);
          greatest[r][half] = most;
#pragma unroll
          for (int n = 0; n < HEAD_SIZE / 8; n++) {
            sums.at[r][n][2 * half] *= rescale;
            sums.at[r][n][2 * half + 1] *= rescale;
          }
        }
      }
      ls_accumulate<V_TERMS>(scores, keys + keysSize, STREAM * ROW, sums);
    }
    if (STAGES > 1) {
      stage ^= 1;
    } else if (key + STREAM < end) {
      __syncthreads();
      bring(key + STREAM, 0);
    }
  }
  long long row = (sequence * a.heads + head) * a.queries + firstQuery;
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float sum = divisor[r][half];
      sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
      sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 2);
      int query = ls_token(r, half);
      if (ls_lane() % 4 == 0 && query < count) {
        logSumExp[row + query] = greatest[r][half] * a.scale + ls_log(sum);
      }
      divisor[r][half] = 1.0f / sum;
    }
  }
  ls_store(out + token * a.outStride + head * HEAD_SIZE, a.outStride, count, sums, divisor);
}
