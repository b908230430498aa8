// Products of bfloat16 by tensor cores. The 32 threads of a warp hold matrices together; with
// g = lane / 4 and t = lane % 4, a thread holds of
//   left  (16 x 16): [0] row g, columns 2t and 2t + 1; [1] of row g + 8;
//                    [2] row g, columns 2t + 8 and 2t + 9; [3] of row g + 8
//   right (16 x 8):  [0] column g, rows 2t and 2t + 1; [1] rows 2t + 8 and 2t + 9
//   sums  (16 x 8):  [0], [1] row g, columns 2t and 2t + 1; [2], [3] of row g + 8
// Two bfloat16 share a word, the first in its lower half. Sums are float32.
#pragma once

#include "types.cuh"

typedef unsigned short Bf16;

LS_INLINE int ls_lane() { return threadIdx.x % 32; }

LS_INLINE int ls_warp() { return threadIdx.x / 32; }

#ifdef __CUDACC__

LS_INLINE unsigned ls_shared(const void* at) { return (unsigned)__cvta_generic_to_shared(at); }

// sums += left right.
LS_INLINE void ls_mma(
    float (&sums)[4], const unsigned (&left)[4], unsigned right0, unsigned right1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right0), "r"(right1));
}

// Four squares of 8 x 8 from shared memory: lane 8 i + j says where row j of square i begins, at a
// multiple of 16 bytes. A thread gets of each square row g, columns 2t and 2t + 1.
LS_INLINE void ls_squares(unsigned (&squares)[4], const Bf16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(squares[0]), "=r"(squares[1]), "=r"(squares[2]), "=r"(squares[3])
               : "r"(ls_shared(row)));
}

// As ls_squares, but a thread gets of each square column g, rows 2t and 2t + 1.
LS_INLINE void ls_turned_squares(unsigned (&squares)[4], const Bf16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(squares[0]), "=r"(squares[1]), "=r"(squares[2]), "=r"(squares[3])
               : "r"(ls_shared(row)));
}

// Starts to bring 16 bytes into shared memory, or zeros; both places are multiples of 16 bytes.
LS_INLINE void ls_start_copy16(void* to, const void* from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(ls_shared(to)), "l"(from), "r"(inside ? 16 : 0)
               : "memory");
}

LS_INLINE void ls_start_copy4(void* to, const void* from, bool inside) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
               :
               : "r"(ls_shared(to)), "l"(from), "r"(inside ? 4 : 0)
               : "memory");
}

// Waits for the copies that this thread has started; others see them after a barrier.
LS_INLINE void ls_end_copies() { asm volatile("cp.async.wait_all;" : : : "memory"); }

// 2^x within 2 ulp; results below the least normal number become 0.
LS_INLINE float ls_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Two numbers rounded to bfloat16.
LS_INLINE unsigned ls_pair(float first, float second) {
  unsigned pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}

#endif  // elsewhere whoever compiles this has brought the same functions

// Two numbers as sums of bfloat16: each rounded, then the rounded rest, and so on.
template <int TERMS>
LS_INLINE void ls_split_pair(float first, float second, unsigned (&terms)[TERMS]) {
#pragma unroll
  for (int i = 0; i < TERMS; i++) {
    terms[i] = ls_pair(first, second);
    first -= __int_as_float((int)(terms[i] << 16));
    second -= __int_as_float((int)(terms[i] & 0xFFFF0000u));
  }
}

// Where a lane's row begins of a 16 x 16 matrix whose rows are `stride` apart: for a left matrix by
// ls_squares, and for two right ones side by side by ls_turned_squares.
LS_INLINE int ls_row_major(int stride) {
  return ls_lane() % 16 * stride + ls_lane() / 16 * 8;
}

// The same where rows in memory are the right matrices' columns, by ls_squares.
LS_INLINE int ls_column_major(int stride) {
  return (ls_lane() % 8 + ls_lane() / 16 * 8) * stride + ls_lane() / 8 % 2 * 8;
}
