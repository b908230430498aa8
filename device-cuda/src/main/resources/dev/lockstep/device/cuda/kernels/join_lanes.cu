// Joins the sums of subtrees of lanes, which lie wherever ranks sent them, by the tree T(lanes) that
// they are subtrees of. Subtrees come in ascending order. One of 2^k lanes carries like a leaf of a
// binary counter at level k; the last may be what is left over of the tree (level -1), which stands
// right of all others.
#include "grid.cuh"
#include "math.cuh"

#define LS_SUBTREES 128
#define LS_LANE_LEVELS 12

struct Subtrees {
  const float* at[LS_SUBTREES];
  signed char level[LS_SUBTREES];
};

struct SumOf {
  static __device__ __forceinline__ float of(float a, float b) { return a + b; }
};

struct MaxOf {
  static __device__ __forceinline__ float of(float a, float b) { return ls_max(a, b); }
};

struct MinOf {
  static __device__ __forceinline__ float of(float a, float b) { return ls_min(a, b); }
};

template <class Op>
struct Counter {
  float level[LS_LANE_LEVELS];
  float rest;

  // `taken` are the lanes below, a multiple of 2^at.
  __device__ __forceinline__ void push(float sum, int at, int taken) {
    bool carries = false;
#pragma unroll
    for (int k = 0; k < LS_LANE_LEVELS; k++) {
      carries = carries || k == at;
      bool full = (taken >> k) & 1;
      float joined = full ? Op::of(level[k], sum) : sum;
      if (carries && !full) level[k] = sum;
      sum = carries ? joined : sum;
      carries = carries && full;
    }
  }

  __device__ __forceinline__ float join(int taken, bool hasRest) const {
    float sum = rest;
    bool first = !hasRest;
#pragma unroll
    for (int k = 0; k < LS_LANE_LEVELS; k++) {
      if ((taken >> k) & 1) {
        sum = first ? level[k] : Op::of(level[k], sum);
        first = false;
      }
    }
    return sum;
  }
};

template <class Op>
__device__ __forceinline__ void join_one(
    const Subtrees& subtrees, int count, float* out, long long i) {
  Counter<Op> counter;
  int taken = 0;
  bool hasRest = false;
  for (int s = 0; s < count; s++) {
    float sum = subtrees.at[s][i];
    int at = subtrees.level[s];
    if (at < 0) {
      counter.rest = sum;
      hasRest = true;
    } else {
      counter.push(sum, at, taken);
      taken += 1 << at;
    }
  }
  out[i] = counter.join(taken, hasRest);
}

template <class Op>
__device__ __forceinline__ void join_four(
    const Subtrees& subtrees, int count, float* out, long long i) {
  Counter<Op> x, y, z, w;
  int taken = 0;
  bool hasRest = false;
  for (int s = 0; s < count; s++) {
    float4 sum = ((const float4*)subtrees.at[s])[i];
    int at = subtrees.level[s];
    if (at < 0) {
      x.rest = sum.x;
      y.rest = sum.y;
      z.rest = sum.z;
      w.rest = sum.w;
      hasRest = true;
    } else {
      x.push(sum.x, at, taken);
      y.push(sum.y, at, taken);
      z.push(sum.z, at, taken);
      w.push(sum.w, at, taken);
      taken += 1 << at;
    }
  }
  ((float4*)out)[i] = make_float4(
      x.join(taken, hasRest), y.join(taken, hasRest), z.join(taken, hasRest),
      w.join(taken, hasRest));
}

// `out` may be one of the subtrees. Four elements per access where all are aligned to 16 bytes.
template <class Op>
__device__ __forceinline__ void join_lanes(
    const Subtrees& subtrees, int count, float* out, long long n, int aligned) {
  long long vectors = aligned ? n / 4 : 0;
  for (long long i = LS_GRID_INDEX; i < vectors; i += LS_GRID_STRIDE) {
    join_four<Op>(subtrees, count, out, i);
  }
  for (long long i = vectors * 4 + LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {
    join_one<Op>(subtrees, count, out, i);
  }
}

#define JOIN(name, Op)                                                                  \
  extern "C" __global__ void join_lanes_##name##_f32(                                   \
      const __grid_constant__ Subtrees subtrees, int count, float* out, long long n,    \
      int aligned) {                                                                    \
    join_lanes<Op>(subtrees, count, out, n, aligned);                                   \
  }

JOIN(sum, SumOf)
JOIN(max, MaxOf)
JOIN(min, MinOf)
