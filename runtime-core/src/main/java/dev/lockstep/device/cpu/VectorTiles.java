package dev.lockstep.device.cpu;

import static dev.lockstep.device.cpu.Memory.ALL;
import static dev.lockstep.device.cpu.Memory.at;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.invoke.MethodHandles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/// [TileKernels] on the Vector API, one hidden class per width (see [KernelSet]).
///
/// One loop over `k` with all sums in registers: 12 x 2 vectors fit the 32 registers of 512 bits, 6
/// x 2 the 16 of narrower ones. Every accumulator is a named local, because arrays of vectors are
/// spilled.
final class VectorTiles implements TileKernels {
  private static final VectorSpecies<Float> S = KernelSet.species(MethodHandles.lookup());
  private static final long VECTOR = S.vectorByteSize();
  private static final boolean WIDE = S.length() == 16;
  private static final long A_ROW = (WIDE ? 12 : 6) * 4L;
  private static final long B_ROW = 2 * VECTOR;

  @Override
  public void multiply(long a, long b, int depth, long out, long stride) {
    if (WIDE) {
      tile12(a, b, depth, out, stride);
    } else {
      tile6(a, b, depth, out, stride);
    }
  }

  @Override
  public void multiplyOn(long a, long b, int depth, long sums, long stride) {
    if (WIDE) {
      tile12On(a, b, depth, sums, stride);
    } else {
      tile6On(a, b, depth, sums, stride);
    }
  }

  /// Half a row of sums. With 24 more loads in its body a tile is more than HotSpot's first
  /// compiler has registers for, and stays interpreted. So this shall stay longer than the 35 bytes
  /// which that compiler inlines; the second one inlines it where it is hot.
  private static FloatVector sum(long tile, long stride, int row, int half) {
    long address = at(tile) + row * stride + half * VECTOR;
    return FloatVector.fromMemorySegment(S, ALL, at(address), LITTLE_ENDIAN);
  }

  /// 24 sums, 2 vectors of B and one of A: 27 of 32 registers. Reaches memory without the helpers
  /// of [Memory]: this body is past the compiler's inlining budget, which only the JDK's own
  /// accessors ignore.
  private static void tile12(long a, long b, int depth, long out, long stride) {
    FloatVector zero = FloatVector.zero(S);
    FloatVector c0 = zero;
    FloatVector d0 = zero;
    FloatVector c1 = zero;
    FloatVector d1 = zero;
    FloatVector c2 = zero;
    FloatVector d2 = zero;
    FloatVector c3 = zero;
    FloatVector d3 = zero;
    FloatVector c4 = zero;
    FloatVector d4 = zero;
    FloatVector c5 = zero;
    FloatVector d5 = zero;
    FloatVector c6 = zero;
    FloatVector d6 = zero;
    FloatVector c7 = zero;
    FloatVector d7 = zero;
    FloatVector c8 = zero;
    FloatVector d8 = zero;
    FloatVector c9 = zero;
    FloatVector d9 = zero;
    FloatVector c10 = zero;
    FloatVector d10 = zero;
    FloatVector c11 = zero;
    FloatVector d11 = zero;
    for (int k = 0; k < depth; k++) {
      long ap = at(a + k * A_ROW);
      long bp = at(b + k * B_ROW);
      FloatVector x = FloatVector.fromMemorySegment(S, ALL, at(bp), LITTLE_ENDIAN);
      FloatVector y = FloatVector.fromMemorySegment(S, ALL, at(bp + VECTOR), LITTLE_ENDIAN);
      FloatVector s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap));
      c0 = s.fma(x, c0);
      d0 = s.fma(y, d0);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 4));
      c1 = s.fma(x, c1);
      d1 = s.fma(y, d1);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 8));
      c2 = s.fma(x, c2);
      d2 = s.fma(y, d2);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 12));
      c3 = s.fma(x, c3);
      d3 = s.fma(y, d3);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 16));
      c4 = s.fma(x, c4);
      d4 = s.fma(y, d4);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 20));
      c5 = s.fma(x, c5);
      d5 = s.fma(y, d5);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 24));
      c6 = s.fma(x, c6);
      d6 = s.fma(y, d6);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 28));
      c7 = s.fma(x, c7);
      d7 = s.fma(y, d7);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 32));
      c8 = s.fma(x, c8);
      d8 = s.fma(y, d8);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 36));
      c9 = s.fma(x, c9);
      d9 = s.fma(y, d9);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 40));
      c10 = s.fma(x, c10);
      d10 = s.fma(y, d10);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 44));
      c11 = s.fma(x, c11);
      d11 = s.fma(y, d11);
    }
    long to = at(out);
    long step = at(stride);
    c0.intoMemorySegment(ALL, to, LITTLE_ENDIAN);
    d0.intoMemorySegment(ALL, to + VECTOR, LITTLE_ENDIAN);
    c1.intoMemorySegment(ALL, to + step, LITTLE_ENDIAN);
    d1.intoMemorySegment(ALL, to + step + VECTOR, LITTLE_ENDIAN);
    c2.intoMemorySegment(ALL, to + 2 * step, LITTLE_ENDIAN);
    d2.intoMemorySegment(ALL, to + 2 * step + VECTOR, LITTLE_ENDIAN);
    c3.intoMemorySegment(ALL, to + 3 * step, LITTLE_ENDIAN);
    d3.intoMemorySegment(ALL, to + 3 * step + VECTOR, LITTLE_ENDIAN);
    c4.intoMemorySegment(ALL, to + 4 * step, LITTLE_ENDIAN);
    d4.intoMemorySegment(ALL, to + 4 * step + VECTOR, LITTLE_ENDIAN);
    c5.intoMemorySegment(ALL, to + 5 * step, LITTLE_ENDIAN);
    d5.intoMemorySegment(ALL, to + 5 * step + VECTOR, LITTLE_ENDIAN);
    c6.intoMemorySegment(ALL, to + 6 * step, LITTLE_ENDIAN);
    d6.intoMemorySegment(ALL, to + 6 * step + VECTOR, LITTLE_ENDIAN);
    c7.intoMemorySegment(ALL, to + 7 * step, LITTLE_ENDIAN);
    d7.intoMemorySegment(ALL, to + 7 * step + VECTOR, LITTLE_ENDIAN);
    c8.intoMemorySegment(ALL, to + 8 * step, LITTLE_ENDIAN);
    d8.intoMemorySegment(ALL, to + 8 * step + VECTOR, LITTLE_ENDIAN);
    c9.intoMemorySegment(ALL, to + 9 * step, LITTLE_ENDIAN);
    d9.intoMemorySegment(ALL, to + 9 * step + VECTOR, LITTLE_ENDIAN);
    c10.intoMemorySegment(ALL, to + 10 * step, LITTLE_ENDIAN);
    d10.intoMemorySegment(ALL, to + 10 * step + VECTOR, LITTLE_ENDIAN);
    c11.intoMemorySegment(ALL, to + 11 * step, LITTLE_ENDIAN);
    d11.intoMemorySegment(ALL, to + 11 * step + VECTOR, LITTLE_ENDIAN);
  }

  /// As [#tile12], but from the sums that are there.
  private static void tile12On(long a, long b, int depth, long out, long stride) {
    FloatVector c0 = sum(out, stride, 0, 0);
    FloatVector d0 = sum(out, stride, 0, 1);
    FloatVector c1 = sum(out, stride, 1, 0);
    FloatVector d1 = sum(out, stride, 1, 1);
    FloatVector c2 = sum(out, stride, 2, 0);
    FloatVector d2 = sum(out, stride, 2, 1);
    FloatVector c3 = sum(out, stride, 3, 0);
    FloatVector d3 = sum(out, stride, 3, 1);
    FloatVector c4 = sum(out, stride, 4, 0);
    FloatVector d4 = sum(out, stride, 4, 1);
    FloatVector c5 = sum(out, stride, 5, 0);
    FloatVector d5 = sum(out, stride, 5, 1);
    FloatVector c6 = sum(out, stride, 6, 0);
    FloatVector d6 = sum(out, stride, 6, 1);
    FloatVector c7 = sum(out, stride, 7, 0);
    FloatVector d7 = sum(out, stride, 7, 1);
    FloatVector c8 = sum(out, stride, 8, 0);
    FloatVector d8 = sum(out, stride, 8, 1);
    FloatVector c9 = sum(out, stride, 9, 0);
    FloatVector d9 = sum(out, stride, 9, 1);
    FloatVector c10 = sum(out, stride, 10, 0);
    FloatVector d10 = sum(out, stride, 10, 1);
    FloatVector c11 = sum(out, stride, 11, 0);
    FloatVector d11 = sum(out, stride, 11, 1);
    for (int k = 0; k < depth; k++) {
      long ap = at(a + k * A_ROW);
      long bp = at(b + k * B_ROW);
      FloatVector x = FloatVector.fromMemorySegment(S, ALL, at(bp), LITTLE_ENDIAN);
      FloatVector y = FloatVector.fromMemorySegment(S, ALL, at(bp + VECTOR), LITTLE_ENDIAN);
      FloatVector s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap));
      c0 = s.fma(x, c0);
      d0 = s.fma(y, d0);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 4));
      c1 = s.fma(x, c1);
      d1 = s.fma(y, d1);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 8));
      c2 = s.fma(x, c2);
      d2 = s.fma(y, d2);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 12));
      c3 = s.fma(x, c3);
      d3 = s.fma(y, d3);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 16));
      c4 = s.fma(x, c4);
      d4 = s.fma(y, d4);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 20));
      c5 = s.fma(x, c5);
      d5 = s.fma(y, d5);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 24));
      c6 = s.fma(x, c6);
      d6 = s.fma(y, d6);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 28));
      c7 = s.fma(x, c7);
      d7 = s.fma(y, d7);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 32));
      c8 = s.fma(x, c8);
      d8 = s.fma(y, d8);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 36));
      c9 = s.fma(x, c9);
      d9 = s.fma(y, d9);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 40));
      c10 = s.fma(x, c10);
      d10 = s.fma(y, d10);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, ap + 44));
      c11 = s.fma(x, c11);
      d11 = s.fma(y, d11);
    }
    long to = at(out);
    long step = at(stride);
    c0.intoMemorySegment(ALL, to, LITTLE_ENDIAN);
    d0.intoMemorySegment(ALL, to + VECTOR, LITTLE_ENDIAN);
    c1.intoMemorySegment(ALL, to + step, LITTLE_ENDIAN);
    d1.intoMemorySegment(ALL, to + step + VECTOR, LITTLE_ENDIAN);
    c2.intoMemorySegment(ALL, to + 2 * step, LITTLE_ENDIAN);
    d2.intoMemorySegment(ALL, to + 2 * step + VECTOR, LITTLE_ENDIAN);
    c3.intoMemorySegment(ALL, to + 3 * step, LITTLE_ENDIAN);
    d3.intoMemorySegment(ALL, to + 3 * step + VECTOR, LITTLE_ENDIAN);
    c4.intoMemorySegment(ALL, to + 4 * step, LITTLE_ENDIAN);
    d4.intoMemorySegment(ALL, to + 4 * step + VECTOR, LITTLE_ENDIAN);
    c5.intoMemorySegment(ALL, to + 5 * step, LITTLE_ENDIAN);
    d5.intoMemorySegment(ALL, to + 5 * step + VECTOR, LITTLE_ENDIAN);
    c6.intoMemorySegment(ALL, to + 6 * step, LITTLE_ENDIAN);
    d6.intoMemorySegment(ALL, to + 6 * step + VECTOR, LITTLE_ENDIAN);
    c7.intoMemorySegment(ALL, to + 7 * step, LITTLE_ENDIAN);
    d7.intoMemorySegment(ALL, to + 7 * step + VECTOR, LITTLE_ENDIAN);
    c8.intoMemorySegment(ALL, to + 8 * step, LITTLE_ENDIAN);
    d8.intoMemorySegment(ALL, to + 8 * step + VECTOR, LITTLE_ENDIAN);
    c9.intoMemorySegment(ALL, to + 9 * step, LITTLE_ENDIAN);
    d9.intoMemorySegment(ALL, to + 9 * step + VECTOR, LITTLE_ENDIAN);
    c10.intoMemorySegment(ALL, to + 10 * step, LITTLE_ENDIAN);
    d10.intoMemorySegment(ALL, to + 10 * step + VECTOR, LITTLE_ENDIAN);
    c11.intoMemorySegment(ALL, to + 11 * step, LITTLE_ENDIAN);
    d11.intoMemorySegment(ALL, to + 11 * step + VECTOR, LITTLE_ENDIAN);
  }

  /// 12 sums, 2 vectors of B and one of A: 15 of 16 registers.
  private static void tile6(long a, long b, int depth, long out, long stride) {
    FloatVector zero = FloatVector.zero(S);
    FloatVector c0 = zero;
    FloatVector d0 = zero;
    FloatVector c1 = zero;
    FloatVector d1 = zero;
    FloatVector c2 = zero;
    FloatVector d2 = zero;
    FloatVector c3 = zero;
    FloatVector d3 = zero;
    FloatVector c4 = zero;
    FloatVector d4 = zero;
    FloatVector c5 = zero;
    FloatVector d5 = zero;
    for (int k = 0; k < depth; k++) {
      long ap = at(a + k * A_ROW);
      long bp = at(b + k * B_ROW);
      FloatVector x = FloatVector.fromMemorySegment(S, ALL, at(bp), LITTLE_ENDIAN);
      FloatVector y = FloatVector.fromMemorySegment(S, ALL, at(bp + VECTOR), LITTLE_ENDIAN);
      FloatVector s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap)));
      c0 = s.fma(x, c0);
      d0 = s.fma(y, d0);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap + 4)));
      c1 = s.fma(x, c1);
      d1 = s.fma(y, d1);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap + 8)));
      c2 = s.fma(x, c2);
      d2 = s.fma(y, d2);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap + 12)));
      c3 = s.fma(x, c3);
      d3 = s.fma(y, d3);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap + 16)));
      c4 = s.fma(x, c4);
      d4 = s.fma(y, d4);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap + 20)));
      c5 = s.fma(x, c5);
      d5 = s.fma(y, d5);
    }
    c0.intoMemorySegment(ALL, at(out), LITTLE_ENDIAN);
    d0.intoMemorySegment(ALL, at(out + VECTOR), LITTLE_ENDIAN);
    c1.intoMemorySegment(ALL, at(out + stride), LITTLE_ENDIAN);
    d1.intoMemorySegment(ALL, at(out + stride + VECTOR), LITTLE_ENDIAN);
    c2.intoMemorySegment(ALL, at(out + 2 * stride), LITTLE_ENDIAN);
    d2.intoMemorySegment(ALL, at(out + 2 * stride + VECTOR), LITTLE_ENDIAN);
    c3.intoMemorySegment(ALL, at(out + 3 * stride), LITTLE_ENDIAN);
    d3.intoMemorySegment(ALL, at(out + 3 * stride + VECTOR), LITTLE_ENDIAN);
    c4.intoMemorySegment(ALL, at(out + 4 * stride), LITTLE_ENDIAN);
    d4.intoMemorySegment(ALL, at(out + 4 * stride + VECTOR), LITTLE_ENDIAN);
    c5.intoMemorySegment(ALL, at(out + 5 * stride), LITTLE_ENDIAN);
    d5.intoMemorySegment(ALL, at(out + 5 * stride + VECTOR), LITTLE_ENDIAN);
  }

  /// As [#tile6], but from the sums that are there.
  private static void tile6On(long a, long b, int depth, long out, long stride) {
    FloatVector c0 = sum(out, stride, 0, 0);
    FloatVector d0 = sum(out, stride, 0, 1);
    FloatVector c1 = sum(out, stride, 1, 0);
    FloatVector d1 = sum(out, stride, 1, 1);
    FloatVector c2 = sum(out, stride, 2, 0);
    FloatVector d2 = sum(out, stride, 2, 1);
    FloatVector c3 = sum(out, stride, 3, 0);
    FloatVector d3 = sum(out, stride, 3, 1);
    FloatVector c4 = sum(out, stride, 4, 0);
    FloatVector d4 = sum(out, stride, 4, 1);
    FloatVector c5 = sum(out, stride, 5, 0);
    FloatVector d5 = sum(out, stride, 5, 1);
    for (int k = 0; k < depth; k++) {
      long ap = at(a + k * A_ROW);
      long bp = at(b + k * B_ROW);
      FloatVector x = FloatVector.fromMemorySegment(S, ALL, at(bp), LITTLE_ENDIAN);
      FloatVector y = FloatVector.fromMemorySegment(S, ALL, at(bp + VECTOR), LITTLE_ENDIAN);
      FloatVector s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap)));
      c0 = s.fma(x, c0);
      d0 = s.fma(y, d0);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap + 4)));
      c1 = s.fma(x, c1);
      d1 = s.fma(y, d1);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap + 8)));
      c2 = s.fma(x, c2);
      d2 = s.fma(y, d2);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap + 12)));
      c3 = s.fma(x, c3);
      d3 = s.fma(y, d3);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap + 16)));
      c4 = s.fma(x, c4);
      d4 = s.fma(y, d4);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap + 20)));
      c5 = s.fma(x, c5);
      d5 = s.fma(y, d5);
    }
    c0.intoMemorySegment(ALL, at(out), LITTLE_ENDIAN);
    d0.intoMemorySegment(ALL, at(out + VECTOR), LITTLE_ENDIAN);
    c1.intoMemorySegment(ALL, at(out + stride), LITTLE_ENDIAN);
    d1.intoMemorySegment(ALL, at(out + stride + VECTOR), LITTLE_ENDIAN);
    c2.intoMemorySegment(ALL, at(out + 2 * stride), LITTLE_ENDIAN);
    d2.intoMemorySegment(ALL, at(out + 2 * stride + VECTOR), LITTLE_ENDIAN);
    c3.intoMemorySegment(ALL, at(out + 3 * stride), LITTLE_ENDIAN);
    d3.intoMemorySegment(ALL, at(out + 3 * stride + VECTOR), LITTLE_ENDIAN);
    c4.intoMemorySegment(ALL, at(out + 4 * stride), LITTLE_ENDIAN);
    d4.intoMemorySegment(ALL, at(out + 4 * stride + VECTOR), LITTLE_ENDIAN);
    c5.intoMemorySegment(ALL, at(out + 5 * stride), LITTLE_ENDIAN);
    d5.intoMemorySegment(ALL, at(out + 5 * stride + VECTOR), LITTLE_ENDIAN);
  }
}
