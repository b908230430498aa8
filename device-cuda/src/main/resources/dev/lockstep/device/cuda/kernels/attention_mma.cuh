// What the kernels of attention by tensor cores share.
//
// A thread block owns tokens (queries, or keys for their gradients), a warp 16 ROWS of them; the
// tokens on the other side stream through shared memory in tiles of STREAM, STAGES of them at once. An
// operand is TERMS planes of bfloat16 whose sum it is: one if it was bfloat16, three if it was float32
// (the rounded number, the rounded rest, and the rest of that). The order of all sums follows from the
// extents alone.
#pragma once

#include "mma.cuh"

#ifndef HEAD_SIZE  // a multiple of 16
#define HEAD_SIZE 64
#endif
#ifndef QK_TERMS  // of queries and keys
#define QK_TERMS 1
#endif
#ifndef V_TERMS  // of values
#define V_TERMS 1
#endif
#ifndef D_TERMS  // of the output's gradient
#define D_TERMS 1
#endif
#ifndef ROUNDS  // whether gradients are rounded to bfloat16
#define ROUNDS 0
#endif
#ifndef ROWS
#define ROWS 1
#endif
#ifndef STREAM
#define STREAM 32
#endif
#ifndef STEP  // scores that a warp makes at once, along the streamed tokens
#define STEP 32
#endif
#ifndef STAGES
#define STAGES 2
#endif

#ifndef WARPS
#define WARPS 4
#endif
#ifndef BLOCKS  // of threads that a multiprocessor shall have room for
#define BLOCKS (WARPS / 2)
#endif
#ifndef KEEP  // whether owned operands stay in registers
#define KEEP 0
#endif

#define THREADS (32 * WARPS)
#define OWNED (16 * ROWS * WARPS)
#define STEPS (HEAD_SIZE / 16)
// Of a token in shared memory: rows of 8 tokens begin in different banks.
#define ROW (HEAD_SIZE + 8)

#define LS_LOG2_E 1.442695041f

struct Attention {
  int batch;
  int queries;
  int keys;
  int firstQuery;
  int heads;
  int groups;
  long long queryStride;
  long long keyStride;
  long long outStride;
  // How far apart an operand's planes are.
  long long queryPlane;
  long long keyPlane;
  long long valuePlane;
  long long doutPlane;
  float scale;
  int pad;
};

// Starts to bring `count` tokens, `stride` elements apart, of each plane; the rest becomes zero.
template <int TOKENS, int TERMS>
LS_INLINE void ls_bring(
    Bf16* tile, const Bf16* from, long long stride, long long plane, int count) {
  const int pieces = HEAD_SIZE / 8;
  bool aligned = ((unsigned long long)from & 15) == 0;
#pragma unroll
  for (int term = 0; term < TERMS; term++) {
#pragma unroll 1
    for (int i = threadIdx.x; i < TOKENS * pieces; i += THREADS) {
      int token = i / pieces;
      Bf16* to = tile + (term * TOKENS + token) * ROW + i % pieces * 8;
      const Bf16* piece = from + term * plane + token * stride + i % pieces * 8;
      if (aligned) {
        ls_start_copy16(to, piece, token < count);
      } else {
        for (int e = 0; e < 8; e++) {
          to[e] = token < count ? piece[e] : 0;
        }
      }
    }
  }
}

// What a thread block is to do where blocks own queries of one head: blockIdx.x goes through heads of
// sequences, blockIdx.y through queries.
struct OwnedQueries {
  int firstQuery;
  int count;
  int head;
  int group;
  long long sequence;
  long long token;  // the first query, of all sequences
  int end;          // keys that any of the queries sees

  __device__ __forceinline__ explicit OwnedQueries(const Attention& a)
      // The longest rows first, so that none is left to the end.
      : firstQuery((gridDim.y - 1 - blockIdx.y) * OWNED),
        count(min(OWNED, a.queries - firstQuery)),
        head(blockIdx.x % a.heads),
        group(head / (a.heads / a.groups)),
        sequence(blockIdx.x / a.heads),
        token(sequence * a.queries + firstQuery),
        end(min(a.keys, a.firstQuery + firstQuery + count)) {}
};

// Tiles of STREAM keys and their values, a stage of them beside another.
struct KeyTiles {
  static const int KEYS = QK_TERMS * STREAM * ROW;
  static const int STAGE = KEYS + V_TERMS * STREAM * ROW;
  const Bf16* k;
  const Bf16* v;
  Bf16* stages;

  __device__ __forceinline__ KeyTiles(
      const Bf16* k, const Bf16* v, Bf16* stages, const OwnedQueries& own, const Attention& a)
      : k(k + own.sequence * a.keys * a.keyStride + own.group * HEAD_SIZE),
        v(v + own.sequence * a.keys * a.keyStride + own.group * HEAD_SIZE),
        stages(stages) {}

  // Starts to bring the tile that begins with a key.
  __device__ __forceinline__ void bring(int key, int stage, const Attention& a) const {
    Bf16* tile = stages + stage * STAGE;
    int inTile = min(STREAM, a.keys - key);
    ls_bring<STREAM, QK_TERMS>(tile, k + key * a.keyStride, a.keyStride, a.keyPlane, inTile);
    ls_bring<STREAM, V_TERMS>(
        tile + KEYS, v + key * a.keyStride, a.keyStride, a.valuePlane, inTile);
  }
};

// Sums of this thread for 16 ROWS tokens by 8 N others or features.
template <int N>
struct Sums {
  float at[ROWS][N][4];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
#pragma unroll
      for (int n = 0; n < N; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          at[r][n][i] = 0.0f;
        }
      }
    }
  }
};

// sums += left right, for two right matrices side by side; products of terms whose numbers add up to
// more than the last term's are below float32's rounding and left out. The smallest come first.
template <int LEFT, int RIGHT>
LS_INLINE void ls_multiply(
    float (&sums0)[4], float (&sums1)[4], const unsigned (&left)[LEFT][4],
    const unsigned (&right)[RIGHT][4]) {
  const int most = (LEFT > RIGHT ? LEFT : RIGHT) - 1;
#pragma unroll
  for (int order = most; order >= 0; order--) {
#pragma unroll
    for (int i = 0; i < LEFT; i++) {
      int j = order - i;
      if (j < 0 || j >= RIGHT) continue;
      ls_mma(sums0, left[i], right[j][0], right[j][1]);
      ls_mma(sums1, left[i], right[j][2], right[j][3]);
    }
  }
}

// The warp's tokens of a tile of which it is the left operand; kept in registers where KEEP says so.
template <int TERMS>
struct Owned {
  static const bool KEPT = KEEP && TERMS == 1;

  const Bf16* tile;
  unsigned kept[KEPT ? STEPS : 1][ROWS][TERMS][4];

  __device__ __forceinline__ Owned(const Bf16* all) {
    tile = all + 16 * ROWS * ls_warp() * ROW + ls_row_major(ROW);
  }

  // Once the tile is there.
  __device__ __forceinline__ void keep() {
    if (KEPT) {
#pragma unroll
      for (int k = 0; k < STEPS; k++) {
        load(k, kept[KEPT ? k : 0]);
      }
    }
  }

  __device__ __forceinline__ void load(int k, unsigned (&left)[ROWS][TERMS][4]) const {
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
#pragma unroll
      for (int term = 0; term < TERMS; term++) {
        ls_squares(left[r][term], tile + (term * OWNED + 16 * r) * ROW + 16 * k);
      }
    }
  }
};

// sums = products over features of the warp's tokens and tokens of tile `b`, whose planes are planeB
// elements apart.
template <int LEFT, int RIGHT, int N>
LS_INLINE void ls_products(const Owned<LEFT>& a, const Bf16* b, int planeB, Sums<N>& sums) {
  sums.clear();
  b += ls_column_major(ROW);
  // Several terms keep the tensor cores busy without it, and unrolled take too many registers.
  const int unroll = LEFT * RIGHT > 1 ? 1 : STEPS;
#pragma unroll unroll
  for (int k = 0; k < STEPS; k++) {
    unsigned left[ROWS][LEFT][4];
    if (!Owned<LEFT>::KEPT) a.load(k, left);
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      unsigned right[RIGHT][4];
#pragma unroll
      for (int term = 0; term < RIGHT; term++) {
        ls_squares(right[term], b + term * planeB + 8 * n * ROW + 16 * k);
      }
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        const unsigned(&fresh)[LEFT][4] = left[r];
        const unsigned(&mine)[LEFT][4] =
            Owned<LEFT>::KEPT ? a.kept[Owned<LEFT>::KEPT ? k : 0][r] : fresh;
        ls_multiply<LEFT, RIGHT>(sums.at[r][n], sums.at[r][n + 1], mine, right);
      }
    }
  }
}

// sums += weights (of the warp's tokens and those of tile `b`) times the features of tile `b`. The
// weights are split in two, to float32's precision where the others have it.
template <int RIGHT, int N>
LS_INLINE void ls_accumulate(
    const Sums<N>& weights, const Bf16* b, int planeB, Sums<HEAD_SIZE / 8>& sums) {
  b += ls_row_major(ROW);
#pragma unroll
  for (int k = 0; k < N; k += 2) {
    const int terms = RIGHT > 1 ? 3 : 2;
    unsigned left[ROWS][terms][4];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float(&four)[4] = weights.at[r][k + i / 2];
        unsigned split[terms];
        ls_split_pair(four[i % 2 * 2], four[i % 2 * 2 + 1], split);
#pragma unroll
        for (int term = 0; term < terms; term++) {
          left[r][term][i] = split[term];
        }
      }
    }
#pragma unroll
    for (int f = 0; f < HEAD_SIZE / 8; f += 2) {
      unsigned right[RIGHT][4];
#pragma unroll
      for (int term = 0; term < RIGHT; term++) {
        ls_turned_squares(right[term], b + term * planeB + 8 * k * ROW + 8 * f);
      }
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        ls_multiply<terms, RIGHT>(sums.at[r][f], sums.at[r][f + 1], left[r], right);
      }
    }
  }
}

// Which of the warp's tokens row `half` (0 or 1) of block r is to this thread.
LS_INLINE int ls_token(int r, int half) {
  return 16 * (ROWS * ls_warp() + r) + ls_lane() / 4 + 8 * half;
}

// Which token or feature of 8 n ... 8 n + 7 element i of four is to this thread.
LS_INLINE int ls_column(int n, int i) { return 8 * n + ls_lane() % 4 * 2 + i % 2; }

#if ROUNDS
typedef Bf16 Slope;
#else
typedef float Slope;
#endif

LS_INLINE void ls_put_pair(float* at, float first, float second) {
  *(float2*)at = make_float2(first, second);
}

LS_INLINE void ls_put_pair(Bf16* at, float first, float second) {
  *(unsigned*)at = ls_pair(first, second);
}

// Writes this thread's part of the block's first `count` tokens; `factor` is of each row.
template <class T>
LS_INLINE void ls_store(
    T* to, long long stride, int count, const Sums<HEAD_SIZE / 8>& sums,
    const float (&factor)[ROWS][2]) {
  bool pairs = ((unsigned long long)to & (2 * sizeof(T) - 1)) == 0;
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      int token = ls_token(r, half);
      if (token >= count) continue;
#pragma unroll
      for (int n = 0; n < HEAD_SIZE / 8; n++) {
        float first = sums.at[r][n][2 * half] * factor[r][half];
        float second = sums.at[r][n][2 * half + 1] * factor[r][half];
        T* at = to + token * stride + ls_column(n, 0);
        if (pairs) {
          ls_put_pair(at, first, second);
        } else {
          ls_put(at, first);
          ls_put(at + 1, second);
        }
      }
    }
  }
}
