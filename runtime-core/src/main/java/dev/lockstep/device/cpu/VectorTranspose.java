package dev.lockstep.device.cpu;

import static dev.lockstep.device.cpu.Memory.ALL;
import static dev.lockstep.device.cpu.Memory.at;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorSpecies;

/// Transposes for packed panels by two-source permutes of 512 bits: 16 elements of 12 or 16 rows at
/// a time, in two rounds of two, first within and then across quarters of vectors. For processors
/// with vectors of 512 bits alone.
final class VectorTranspose {
  private static final VectorSpecies<Integer> S = IntVector.SPECIES_512;
  private static final int LANES = 16;

  // Lane indexes 0 to 15 are of the first source, 16 to 31 of the second.
  private static final IntVector LOW_PAIRS =
      indexes(0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
  private static final IntVector HIGH_PAIRS =
      indexes(2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
  private static final IntVector LOW_WORDS =
      indexes(0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
  private static final IntVector HIGH_WORDS =
      indexes(2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  private static final IntVector LOW_QUARTERS =
      indexes(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  private static final IntVector HIGH_QUARTERS =
      indexes(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  private static final IntVector LOW_HALVES =
      indexes(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
  private static final IntVector HIGH_HALVES =
      indexes(8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);

  private VectorTranspose() {}

  private static IntVector indexes(int... lanes) {
    return IntVector.fromArray(S, lanes, 0);
  }

  /// Transposes `width` rows (12, or a multiple of 16) of `length` elements (a multiple of 16),
  /// `stride` bytes apart, into `length` rows of `width` elements. With 12 rows the last store
  /// reaches 16 bytes past the end.
  static void panel(long from, long stride, int length, int width, long to) {
    if (width == 12) {
      twelve(from, stride, length, to);
    } else {
      for (int row = 0; row < width; row += LANES) {
        sixteen(from + row * stride, stride, length, to + row * 4L, width * 4L);
      }
    }
  }

  private static void twelve(long from, long stride, int length, long to) {
    for (int k = 0; k < length; k += LANES) {
      long row = from + k * 4L;
      IntVector r0 = IntVector.fromMemorySegment(S, ALL, at(row), LITTLE_ENDIAN);
      IntVector r1 = IntVector.fromMemorySegment(S, ALL, at(row + stride), LITTLE_ENDIAN);
      IntVector r2 = IntVector.fromMemorySegment(S, ALL, at(row + 2 * stride), LITTLE_ENDIAN);
      IntVector r3 = IntVector.fromMemorySegment(S, ALL, at(row + 3 * stride), LITTLE_ENDIAN);
      IntVector r4 = IntVector.fromMemorySegment(S, ALL, at(row + 4 * stride), LITTLE_ENDIAN);
      IntVector r5 = IntVector.fromMemorySegment(S, ALL, at(row + 5 * stride), LITTLE_ENDIAN);
      IntVector r6 = IntVector.fromMemorySegment(S, ALL, at(row + 6 * stride), LITTLE_ENDIAN);
      IntVector r7 = IntVector.fromMemorySegment(S, ALL, at(row + 7 * stride), LITTLE_ENDIAN);
      IntVector r8 = IntVector.fromMemorySegment(S, ALL, at(row + 8 * stride), LITTLE_ENDIAN);
      IntVector r9 = IntVector.fromMemorySegment(S, ALL, at(row + 9 * stride), LITTLE_ENDIAN);
      IntVector r10 = IntVector.fromMemorySegment(S, ALL, at(row + 10 * stride), LITTLE_ENDIAN);
      IntVector r11 = IntVector.fromMemorySegment(S, ALL, at(row + 11 * stride), LITTLE_ENDIAN);
      IntVector p0 = LOW_PAIRS.selectFrom(r0, r1);
      IntVector q0 = HIGH_PAIRS.selectFrom(r0, r1);
      IntVector s0 = LOW_PAIRS.selectFrom(r2, r3);
      IntVector t0 = HIGH_PAIRS.selectFrom(r2, r3);
      IntVector a0 = LOW_WORDS.selectFrom(p0, s0);
      IntVector a1 = HIGH_WORDS.selectFrom(p0, s0);
      IntVector a2 = LOW_WORDS.selectFrom(q0, t0);
      IntVector a3 = HIGH_WORDS.selectFrom(q0, t0);
      IntVector p1 = LOW_PAIRS.selectFrom(r4, r5);
      IntVector q1 = HIGH_PAIRS.selectFrom(r4, r5);
      IntVector s1 = LOW_PAIRS.selectFrom(r6, r7);
      IntVector t1 = HIGH_PAIRS.selectFrom(r6, r7);
      IntVector b0 = LOW_WORDS.selectFrom(p1, s1);
      IntVector b1 = HIGH_WORDS.selectFrom(p1, s1);
      IntVector b2 = LOW_WORDS.selectFrom(q1, t1);
      IntVector b3 = HIGH_WORDS.selectFrom(q1, t1);
      IntVector p2 = LOW_PAIRS.selectFrom(r8, r9);
      IntVector q2 = HIGH_PAIRS.selectFrom(r8, r9);
      IntVector s2 = LOW_PAIRS.selectFrom(r10, r11);
      IntVector t2 = HIGH_PAIRS.selectFrom(r10, r11);
      IntVector c0 = LOW_WORDS.selectFrom(p2, s2);
      IntVector c1 = HIGH_WORDS.selectFrom(p2, s2);
      IntVector c2 = LOW_WORDS.selectFrom(q2, t2);
      IntVector c3 = HIGH_WORDS.selectFrom(q2, t2);
      long out = to + k * 48L;
      IntVector x0 = LOW_QUARTERS.selectFrom(a0, b0);
      IntVector y0 = HIGH_QUARTERS.selectFrom(a0, b0);
      IntVector z0 = LOW_QUARTERS.selectFrom(c0, c0);
      IntVector w0 = HIGH_QUARTERS.selectFrom(c0, c0);
      IntVector x1 = LOW_QUARTERS.selectFrom(a1, b1);
      IntVector y1 = HIGH_QUARTERS.selectFrom(a1, b1);
      IntVector z1 = LOW_QUARTERS.selectFrom(c1, c1);
      IntVector w1 = HIGH_QUARTERS.selectFrom(c1, c1);
      IntVector x2 = LOW_QUARTERS.selectFrom(a2, b2);
      IntVector y2 = HIGH_QUARTERS.selectFrom(a2, b2);
      IntVector z2 = LOW_QUARTERS.selectFrom(c2, c2);
      IntVector w2 = HIGH_QUARTERS.selectFrom(c2, c2);
      IntVector x3 = LOW_QUARTERS.selectFrom(a3, b3);
      IntVector y3 = HIGH_QUARTERS.selectFrom(a3, b3);
      IntVector z3 = LOW_QUARTERS.selectFrom(c3, c3);
      IntVector w3 = HIGH_QUARTERS.selectFrom(c3, c3);
      LOW_HALVES.selectFrom(x0, z0).intoMemorySegment(ALL, at(out), LITTLE_ENDIAN);
      LOW_HALVES.selectFrom(x1, z1).intoMemorySegment(ALL, at(out + 48L), LITTLE_ENDIAN);
      LOW_HALVES.selectFrom(x2, z2).intoMemorySegment(ALL, at(out + 2 * 48L), LITTLE_ENDIAN);
      LOW_HALVES.selectFrom(x3, z3).intoMemorySegment(ALL, at(out + 3 * 48L), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(x0, z0).intoMemorySegment(ALL, at(out + 4 * 48L), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(x1, z1).intoMemorySegment(ALL, at(out + 5 * 48L), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(x2, z2).intoMemorySegment(ALL, at(out + 6 * 48L), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(x3, z3).intoMemorySegment(ALL, at(out + 7 * 48L), LITTLE_ENDIAN);
      LOW_HALVES.selectFrom(y0, w0).intoMemorySegment(ALL, at(out + 8 * 48L), LITTLE_ENDIAN);
      LOW_HALVES.selectFrom(y1, w1).intoMemorySegment(ALL, at(out + 9 * 48L), LITTLE_ENDIAN);
      LOW_HALVES.selectFrom(y2, w2).intoMemorySegment(ALL, at(out + 10 * 48L), LITTLE_ENDIAN);
      LOW_HALVES.selectFrom(y3, w3).intoMemorySegment(ALL, at(out + 11 * 48L), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(y0, w0).intoMemorySegment(ALL, at(out + 12 * 48L), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(y1, w1).intoMemorySegment(ALL, at(out + 13 * 48L), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(y2, w2).intoMemorySegment(ALL, at(out + 14 * 48L), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(y3, w3).intoMemorySegment(ALL, at(out + 15 * 48L), LITTLE_ENDIAN);
    }
  }

  private static void sixteen(long from, long stride, int length, long to, long step) {
    for (int k = 0; k < length; k += LANES) {
      long row = from + k * 4L;
      IntVector r0 = IntVector.fromMemorySegment(S, ALL, at(row), LITTLE_ENDIAN);
      IntVector r1 = IntVector.fromMemorySegment(S, ALL, at(row + stride), LITTLE_ENDIAN);
      IntVector r2 = IntVector.fromMemorySegment(S, ALL, at(row + 2 * stride), LITTLE_ENDIAN);
      IntVector r3 = IntVector.fromMemorySegment(S, ALL, at(row + 3 * stride), LITTLE_ENDIAN);
      IntVector r4 = IntVector.fromMemorySegment(S, ALL, at(row + 4 * stride), LITTLE_ENDIAN);
      IntVector r5 = IntVector.fromMemorySegment(S, ALL, at(row + 5 * stride), LITTLE_ENDIAN);
      IntVector r6 = IntVector.fromMemorySegment(S, ALL, at(row + 6 * stride), LITTLE_ENDIAN);
      IntVector r7 = IntVector.fromMemorySegment(S, ALL, at(row + 7 * stride), LITTLE_ENDIAN);
      IntVector r8 = IntVector.fromMemorySegment(S, ALL, at(row + 8 * stride), LITTLE_ENDIAN);
      IntVector r9 = IntVector.fromMemorySegment(S, ALL, at(row + 9 * stride), LITTLE_ENDIAN);
      IntVector r10 = IntVector.fromMemorySegment(S, ALL, at(row + 10 * stride), LITTLE_ENDIAN);
      IntVector r11 = IntVector.fromMemorySegment(S, ALL, at(row + 11 * stride), LITTLE_ENDIAN);
      IntVector r12 = IntVector.fromMemorySegment(S, ALL, at(row + 12 * stride), LITTLE_ENDIAN);
      IntVector r13 = IntVector.fromMemorySegment(S, ALL, at(row + 13 * stride), LITTLE_ENDIAN);
      IntVector r14 = IntVector.fromMemorySegment(S, ALL, at(row + 14 * stride), LITTLE_ENDIAN);
      IntVector r15 = IntVector.fromMemorySegment(S, ALL, at(row + 15 * stride), LITTLE_ENDIAN);
      IntVector p0 = LOW_PAIRS.selectFrom(r0, r1);
      IntVector q0 = HIGH_PAIRS.selectFrom(r0, r1);
      IntVector s0 = LOW_PAIRS.selectFrom(r2, r3);
      IntVector t0 = HIGH_PAIRS.selectFrom(r2, r3);
      IntVector a0 = LOW_WORDS.selectFrom(p0, s0);
      IntVector a1 = HIGH_WORDS.selectFrom(p0, s0);
      IntVector a2 = LOW_WORDS.selectFrom(q0, t0);
      IntVector a3 = HIGH_WORDS.selectFrom(q0, t0);
      IntVector p1 = LOW_PAIRS.selectFrom(r4, r5);
      IntVector q1 = HIGH_PAIRS.selectFrom(r4, r5);
      IntVector s1 = LOW_PAIRS.selectFrom(r6, r7);
      IntVector t1 = HIGH_PAIRS.selectFrom(r6, r7);
      IntVector b0 = LOW_WORDS.selectFrom(p1, s1);
      IntVector b1 = HIGH_WORDS.selectFrom(p1, s1);
      IntVector b2 = LOW_WORDS.selectFrom(q1, t1);
      IntVector b3 = HIGH_WORDS.selectFrom(q1, t1);
      IntVector p2 = LOW_PAIRS.selectFrom(r8, r9);
      IntVector q2 = HIGH_PAIRS.selectFrom(r8, r9);
      IntVector s2 = LOW_PAIRS.selectFrom(r10, r11);
      IntVector t2 = HIGH_PAIRS.selectFrom(r10, r11);
      IntVector c0 = LOW_WORDS.selectFrom(p2, s2);
      IntVector c1 = HIGH_WORDS.selectFrom(p2, s2);
      IntVector c2 = LOW_WORDS.selectFrom(q2, t2);
      IntVector c3 = HIGH_WORDS.selectFrom(q2, t2);
      IntVector p3 = LOW_PAIRS.selectFrom(r12, r13);
      IntVector q3 = HIGH_PAIRS.selectFrom(r12, r13);
      IntVector s3 = LOW_PAIRS.selectFrom(r14, r15);
      IntVector t3 = HIGH_PAIRS.selectFrom(r14, r15);
      IntVector d0 = LOW_WORDS.selectFrom(p3, s3);
      IntVector d1 = HIGH_WORDS.selectFrom(p3, s3);
      IntVector d2 = LOW_WORDS.selectFrom(q3, t3);
      IntVector d3 = HIGH_WORDS.selectFrom(q3, t3);
      long out = to + k * step;
      IntVector x0 = LOW_QUARTERS.selectFrom(a0, b0);
      IntVector y0 = HIGH_QUARTERS.selectFrom(a0, b0);
      IntVector z0 = LOW_QUARTERS.selectFrom(c0, d0);
      IntVector w0 = HIGH_QUARTERS.selectFrom(c0, d0);
      IntVector x1 = LOW_QUARTERS.selectFrom(a1, b1);
      IntVector y1 = HIGH_QUARTERS.selectFrom(a1, b1);
      IntVector z1 = LOW_QUARTERS.selectFrom(c1, d1);
      IntVector w1 = HIGH_QUARTERS.selectFrom(c1, d1);
      IntVector x2 = LOW_QUARTERS.selectFrom(a2, b2);
      IntVector y2 = HIGH_QUARTERS.selectFrom(a2, b2);
      IntVector z2 = LOW_QUARTERS.selectFrom(c2, d2);
      IntVector w2 = HIGH_QUARTERS.selectFrom(c2, d2);
      IntVector x3 = LOW_QUARTERS.selectFrom(a3, b3);
      IntVector y3 = HIGH_QUARTERS.selectFrom(a3, b3);
      IntVector z3 = LOW_QUARTERS.selectFrom(c3, d3);
      IntVector w3 = HIGH_QUARTERS.selectFrom(c3, d3);
      LOW_HALVES.selectFrom(x0, z0).intoMemorySegment(ALL, at(out), LITTLE_ENDIAN);
      LOW_HALVES.selectFrom(x1, z1).intoMemorySegment(ALL, at(out + step), LITTLE_ENDIAN);
      LOW_HALVES.selectFrom(x2, z2).intoMemorySegment(ALL, at(out + 2 * step), LITTLE_ENDIAN);
      LOW_HALVES.selectFrom(x3, z3).intoMemorySegment(ALL, at(out + 3 * step), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(x0, z0).intoMemorySegment(ALL, at(out + 4 * step), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(x1, z1).intoMemorySegment(ALL, at(out + 5 * step), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(x2, z2).intoMemorySegment(ALL, at(out + 6 * step), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(x3, z3).intoMemorySegment(ALL, at(out + 7 * step), LITTLE_ENDIAN);
      LOW_HALVES.selectFrom(y0, w0).intoMemorySegment(ALL, at(out + 8 * step), LITTLE_ENDIAN);
      LOW_HALVES.selectFrom(y1, w1).intoMemorySegment(ALL, at(out + 9 * step), LITTLE_ENDIAN);
      LOW_HALVES.selectFrom(y2, w2).intoMemorySegment(ALL, at(out + 10 * step), LITTLE_ENDIAN);
      LOW_HALVES.selectFrom(y3, w3).intoMemorySegment(ALL, at(out + 11 * step), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(y0, w0).intoMemorySegment(ALL, at(out + 12 * step), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(y1, w1).intoMemorySegment(ALL, at(out + 13 * step), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(y2, w2).intoMemorySegment(ALL, at(out + 14 * step), LITTLE_ENDIAN);
      HIGH_HALVES.selectFrom(y3, w3).intoMemorySegment(ALL, at(out + 15 * step), LITTLE_ENDIAN);
    }
  }
}
