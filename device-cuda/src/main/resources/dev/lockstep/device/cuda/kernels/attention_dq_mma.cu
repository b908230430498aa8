// dq of causal softmax attention with grouped queries by tensor cores: sums over ascending keys.
// Probabilities are made again from logSumExp. Each result has one owner: no atomics.
#include "attention_mma.cuh"

#if D_TERMS == 1
typedef Bf16 Gradient;
#else
typedef float Gradient;
#endif

// delta[sequence, head, query] = dout . out, 16 threads for a query.
extern "C" __global__ void __launch_bounds__(THREADS) attention_delta_mma(
    const Gradient* dout, const float* out, float* delta, Attention a) {
  long long row = (long long)blockIdx.x * (THREADS / 16) + threadIdx.x / 16;
  bool inside = row < (long long)a.batch * a.heads * a.queries;
  // Neighbours are the heads of one query, which lie side by side.
  long long head = row % a.heads;
  long long query = row / a.heads % a.queries;
  long long sequence = row / a.heads / a.queries;
  long long at = (sequence * a.queries + query) * a.outStride + head * HEAD_SIZE;
  float sum = 0.0f;
  if (inside) {
#pragma unroll
    for (int d = threadIdx.x % 16; d < HEAD_SIZE; d += 16) {
      sum = fmaf(ls_widened(dout[at + d]), out[at + d], sum);
    }
  }
#pragma unroll
  for (int lanes = 8; lanes > 0; lanes /= 2) {
    sum += __shfl_xor_sync(0xFFFFFFFFu, sum, lanes);
  }
  if (inside && threadIdx.x % 16 == 0) delta[(sequence * a.heads + head) * a.queries + query] = sum;
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) attention_dq_mma(
    const Bf16* dout, const Bf16* q, const Bf16* k, const Bf16* v, const float* logSumExp,
    const float* delta, Slope* dq, Attention a) {
  extern __shared__ __align__(16) float shared[];
  OwnedQueries own(a);
  Bf16* queries = (Bf16*)shared;
  Bf16* douts = queries + QK_TERMS * OWNED * ROW;
  KeyTiles tiles(k, v, douts + D_TERMS * OWNED * ROW, own, a);
  long long queryAt = own.token * a.queryStride + own.head * HEAD_SIZE;
  ls_bring<OWNED, QK_TERMS>(queries, q + queryAt, a.queryStride, a.queryPlane, own.count);
  ls_bring<OWNED, D_TERMS>(
      douts, dout + own.token * a.outStride + own.head * HEAD_SIZE, a.outStride, a.doutPlane, own.count);
  if (own.end > 0) tiles.bring(0, 0, a);
  const float scale2 = a.scale * LS_LOG2_E;
  int first = a.firstQuery + own.firstQuery + 16 * ROWS * ls_warp();
  int last = first + 16 * ROWS - 1;
  long long row = (own.sequence * a.heads + own.head) * a.queries + own.firstQuery;
  float shift[ROWS][2];
  float along[ROWS][2];
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      int query = ls_token(r, half);
      shift[r][half] = query < own.count ? logSumExp[row + query] * LS_LOG2_E : 0.0f;
      along[r][half] = query < own.count ? delta[row + query] : 0.0f;
    }
  }
  Sums<HEAD_SIZE / 8> sums;
  sums.clear();
  Owned<QK_TERMS> ownedQueries(queries);
  Owned<D_TERMS> ownedDouts(douts);
  ls_end_copies();
  __syncthreads();
  ownedQueries.keep();
  ownedDouts.keep();
  for (int base = 0, stage = 0; base < own.end; base += STREAM) {
    ls_end_copies();
    __syncthreads();
    if (STAGES > 1 && base + STREAM < own.end) tiles.bring(base + STREAM, stage ^ 1, a);
#pragma unroll 1
    for (int key = base; key < base + STREAM && key <= last && key < own.end; key += STEP) {
      const Bf16* keys = tiles.stages + stage * KeyTiles::STAGE + (key - base) * ROW;
      Sums<STEP / 8> scores;
      Sums<STEP / 8> slopes;
      ls_products<QK_TERMS, QK_TERMS>(ownedQueries, keys, STREAM * ROW, scores);
      ls_products<D_TERMS, V_TERMS>(ownedDouts, keys + KeyTiles::KEYS, STREAM * ROW, slopes);
      bool all = key + STEP - 1 <= first && key + STEP <= a.keys;
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          int half = i / 2;
          int seen = min(a.keys, a.firstQuery + own.firstQuery + ls_token(r, half) + 1) - key;
#pragma unroll
          for (int n = 0; n < STEP / 8; n++) {
            float weight = ls_exp2(fmaf(scores.at[r][n][i], scale2, -shift[r][half]));
            float slope = weight * (slopes.at[r][n][i] - along[r][half]);
            scores.at[r][n][i] = all || ls_column(n, i) < seen ? slope : 0.0f;
          }
        }
      }
      ls_accumulate<QK_TERMS>(scores, keys, STREAM * ROW, sums);
    }
    if (STAGES > 1) {
      stage ^= 1;
    } else if (base + STREAM < own.end) {
      __syncthreads();
      tiles.bring(base + STREAM, 0, a);
    }
  }
  float factor[ROWS][2];
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    factor[r][0] = a.scale;
    factor[r][1] = a.scale;
  }
  ls_store(dq + queryAt, a.queryStride, own.count, sums, factor);
}
