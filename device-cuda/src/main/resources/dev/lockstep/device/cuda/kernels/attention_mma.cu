// Causal softmax attention with grouped queries by tensor cores. Tiles of keys ascend; what is summed
// so far is rescaled when a tile brings a greater score. Nothing of [queries, keys] is stored.
#include "attention_mma.cuh"

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) attention_mma(
    const Bf16* q, const Bf16* k, const Bf16* v, float* out, float* logSumExp, Attention a) {
  extern __shared__ __align__(16) float shared[];
  OwnedQueries own(a);
  Bf16* queries = (Bf16*)shared;
  KeyTiles tiles(k, v, queries + QK_TERMS * OWNED * ROW, own, a);
  q += own.token * a.queryStride + own.head * HEAD_SIZE;
  ls_bring<OWNED, QK_TERMS>(queries, q, a.queryStride, a.queryPlane, own.count);
  if (own.end > 0) tiles.bring(0, 0, a);
  const float scale2 = a.scale * LS_LOG2_E;
  // Positions of the warp's first and last query among the keys.
  int first = a.firstQuery + own.firstQuery + 16 * ROWS * ls_warp();
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
  for (int key = 0, stage = 0; key < own.end; key += STREAM) {
    ls_end_copies();
    __syncthreads();
    if (STAGES > 1 && key + STREAM < own.end) tiles.bring(key + STREAM, stage ^ 1, a);
    if (key <= last) {
      const Bf16* keys = tiles.stages + stage * KeyTiles::STAGE;
      Sums<STREAM / 8> scores;
      ls_products<QK_TERMS, QK_TERMS>(owned, keys, STREAM * ROW, scores);
      bool all = key + STREAM - 1 <= first && key + STREAM <= a.keys;
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
          int seen = min(a.keys, a.firstQuery + own.firstQuery + ls_token(r, half) + 1) - key;
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
      ls_accumulate<V_TERMS>(scores, keys + KeyTiles::KEYS, STREAM * ROW, sums);
    }
    if (STAGES > 1) {
      stage ^= 1;
    } else if (key + STREAM < own.end) {
      __syncthreads();
      tiles.bring(key + STREAM, 0, a);
    }
  }
  long long row = (own.sequence * a.heads + own.head) * a.queries + own.firstQuery;
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float sum = divisor[r][half];
      sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
      sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 2);
      int query = ls_token(r, half);
      if (ls_lane() % 4 == 0 && query < own.count) {
        logSumExp[row + query] = greatest[r][half] * a.scale + ls_log(sum);
      }
      divisor[r][half] = 1.0f / sum;
    }
  }
  ls_store(out + own.token * a.outStride + own.head * HEAD_SIZE, a.outStride, own.count, sums, divisor);
}
