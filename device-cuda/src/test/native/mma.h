// What mma.cuh takes from a GPU, for blocks of one dimension: a warp's threads lay what they hold side
// by side and each makes its part. Asynchronous copies are made when they are waited for, as late as a
// GPU may make them, so that a missing wait shows.
#pragma once

struct StandinLane {
  unsigned words[6];
  const unsigned short* row;
};
static StandinLane standin_lanes[1024];

struct StandinCopy {
  void* to;
  const void* from;
  int bytes;
  bool inside;
};
static const int STANDIN_COPIES = 512;
static StandinCopy standin_copies[1024][STANDIN_COPIES];
static int standin_copy_count[1024];

static inline StandinLane* standin_warp() { return standin_lanes + threadIdx.x / 32 * 32; }

static inline float standin_bf16(unsigned pair, int which) {
  return __int_as_float((int)(which ? pair & 0xFFFF0000u : pair << 16));
}

static inline void ls_mma(
    float (&sums)[4], const unsigned (&left)[4], unsigned right0, unsigned right1) {
  StandinLane& self = standin_lanes[threadIdx.x];
  for (int i = 0; i < 4; i++) {
    self.words[i] = left[i];
  }
  self.words[4] = right0;
  self.words[5] = right1;
  __syncwarp();
  const StandinLane* warp = standin_warp();
  int lane = threadIdx.x % 32;
  for (int i = 0; i < 4; i++) {
    int row = lane / 4;
    int column = lane % 4 * 2 + i % 2;
    double sum = sums[i];
    for (int k = 0; k < 16; k++) {
      unsigned l = warp[row * 4 + k % 8 / 2].words[i / 2 + k / 8 * 2];
      unsigned r = warp[column * 4 + k % 8 / 2].words[4 + k / 8];
      sum += (double)standin_bf16(l, k % 2) * standin_bf16(r, k % 2);
    }
    sums[i] = (float)sum;
  }
  __syncwarp();
}

static inline void standin_squares(unsigned (&squares)[4], const unsigned short* row, bool turned) {
  standin_lanes[threadIdx.x].row = row;
  // Rows begin at multiples of 16 bytes; what does not traps.
  if ((unsigned long long)row & 15) __builtin_trap();
  __syncwarp();
  const StandinLane* warp = standin_warp();
  int g = threadIdx.x % 32 / 4;
  int t = threadIdx.x % 4 * 2;
  for (int i = 0; i < 4; i++) {
    unsigned first = turned ? warp[8 * i + t].row[g] : warp[8 * i + g].row[t];
    unsigned second = turned ? warp[8 * i + t + 1].row[g] : warp[8 * i + g].row[t + 1];
    squares[i] = first | second << 16;
  }
  __syncwarp();
}

static inline void ls_squares(unsigned (&squares)[4], const unsigned short* row) {
  standin_squares(squares, row, false);
}

static inline void ls_turned_squares(unsigned (&squares)[4], const unsigned short* row) {
  standin_squares(squares, row, true);
}

static inline void standin_start_copy(void* to, const void* from, int bytes, bool inside) {
  bool aligned = (((unsigned long long)to | (unsigned long long)from) & (bytes - 1)) == 0;
  int& count = standin_copy_count[threadIdx.x];
  if (!aligned || count == STANDIN_COPIES) __builtin_trap();
  standin_copies[threadIdx.x][count++] = {to, from, bytes, inside};
}

static inline void ls_start_copy16(void* to, const void* from, bool inside) {
  standin_start_copy(to, from, 16, inside);
}

static inline void ls_start_copy4(void* to, const void* from, bool inside) {
  standin_start_copy(to, from, 4, inside);
}

static inline void ls_end_copies() {
  for (int i = 0; i < standin_copy_count[threadIdx.x]; i++) {
    const StandinCopy& copy = standin_copies[threadIdx.x][i];
    for (int byte = 0; byte < copy.bytes; byte++) {
      ((char*)copy.to)[byte] = copy.inside ? ((const char*)copy.from)[byte] : 0;
    }
  }
  standin_copy_count[threadIdx.x] = 0;
}

static inline float ls_exp2(float x) { return __builtin_exp2f(x); }

static inline unsigned standin_rounded(float x) {
  unsigned bits = (unsigned)__float_as_int(x);
  if (x != x) return 0x7FFF;
  return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
}

static inline unsigned ls_pair(float first, float second) {
  return standin_rounded(first) | standin_rounded(second) << 16;
}
