package dev.lockstep.device.cpu;

import static dev.lockstep.device.cpu.Memory.ALL;
import static dev.lockstep.device.cpu.Memory.at;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.invoke.MethodHandles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// [RowKernels] on the Vector API, one hidden class per width (see [KernelSet]).
///
/// The 16 partial sums of a row are 1, 2 or 4 vectors, each summed in a pass of its own and left in
/// memory; [ScalarRows] adds what is left of the row and joins them. That keeps each loop far
/// within the compiler's inlining budget, beyond which vectors are boxed.
final class VectorRows implements RowKernels {
  private static final VectorSpecies<Float> S = KernelSet.species(MethodHandles.lookup());
  private static final int LANES = S.length();
  private static final long VECTOR = S.vectorByteSize();
  private static final int PARTIALS = 16;
  private static final FloatVector EXP_MAX = FloatVector.broadcast(S, FloatMath.EXP_MAX);
  private static final FloatVector EXP_MIN = FloatVector.broadcast(S, FloatMath.EXP_MIN);
  private static final FloatVector LOG2_E = FloatVector.broadcast(S, FloatMath.LOG2_E);
  private static final FloatVector ROUND = FloatVector.broadcast(S, FloatMath.ROUND);
  private static final FloatVector LN2_HIGH = FloatVector.broadcast(S, -FloatMath.LN2_HIGH);
  private static final FloatVector LN2_LOW = FloatVector.broadcast(S, -FloatMath.LN2_LOW);
  private static final FloatVector E0 = FloatVector.broadcast(S, FloatMath.E0);
  private static final FloatVector E1 = FloatVector.broadcast(S, FloatMath.E1);
  private static final FloatVector E2 = FloatVector.broadcast(S, FloatMath.E2);
  private static final FloatVector E3 = FloatVector.broadcast(S, FloatMath.E3);
  private static final FloatVector E4 = FloatVector.broadcast(S, FloatMath.E4);
  private static final FloatVector E5 = FloatVector.broadcast(S, FloatMath.E5);
  private static final FloatVector ONE = FloatVector.broadcast(S, 1f);
  private static final IntVector ROUND_BITS = ROUND.reinterpretAsInts();
  private static final IntVector BIAS = ONE.reinterpretAsInts().lanewise(VectorOperators.LSHR, 23);

  @Override
  public float sum(long x, int n, long scratch) {
    sumWhole(x, n & -PARTIALS, scratch);
    return ScalarRows.sumRest(x, n & -PARTIALS, n, scratch);
  }

  private static void sumWhole(long x, int n, long scratch) {
    for (int part = 0; part < PARTIALS; part += LANES) {
      FloatVector p = FloatVector.broadcast(S, 0f);
      for (int i = part; i < n; i += PARTIALS) {
        p = p.add(FloatVector.fromMemorySegment(S, ALL, at(x + i * 4L), LITTLE_ENDIAN));
      }
      p.intoMemorySegment(ALL, at(scratch + part * 4L), LITTLE_ENDIAN);
    }
  }

  @Override
  public float sumSquares(long x, int n, long scratch) {
    sumSquaresWhole(x, n & -PARTIALS, scratch);
    return ScalarRows.sumSquaresRest(x, n & -PARTIALS, n, scratch);
  }

  private static void sumSquaresWhole(long x, int n, long scratch) {
    for (int part = 0; part < PARTIALS; part += LANES) {
      FloatVector p = FloatVector.broadcast(S, 0f);
      for (int i = part; i < n; i += PARTIALS) {
        FloatVector v = FloatVector.fromMemorySegment(S, ALL, at(x + i * 4L), LITTLE_ENDIAN);
        p = v.fma(v, p);
      }
      p.intoMemorySegment(ALL, at(scratch + part * 4L), LITTLE_ENDIAN);
    }
  }

  @Override
  public float max(long x, int n, long scratch) {
    maxWhole(x, n & -PARTIALS, scratch);
    return ScalarRows.maxRest(x, n & -PARTIALS, n, scratch);
  }

  private static void maxWhole(long x, int n, long scratch) {
    for (int part = 0; part < PARTIALS; part += LANES) {
      FloatVector p = FloatVector.broadcast(S, Float.NEGATIVE_INFINITY);
      for (int i = part; i < n; i += PARTIALS) {
        p = p.max(FloatVector.fromMemorySegment(S, ALL, at(x + i * 4L), LITTLE_ENDIAN));
      }
      p.intoMemorySegment(ALL, at(scratch + part * 4L), LITTLE_ENDIAN);
    }
  }

  @Override
  public float dot(long x, long y, int n, long scratch) {
    dotWhole(x, y, n & -PARTIALS, scratch);
    return ScalarRows.dotRest(x, y, n & -PARTIALS, n, scratch);
  }

  private static void dotWhole(long x, long y, int n, long scratch) {
    for (int part = 0; part < PARTIALS; part += LANES) {
      FloatVector p = FloatVector.broadcast(S, 0f);
      for (int i = part; i < n; i += PARTIALS) {
        p =
            FloatVector.fromMemorySegment(S, ALL, at(x + i * 4L), LITTLE_ENDIAN)
                .fma(FloatVector.fromMemorySegment(S, ALL, at(y + i * 4L), LITTLE_ENDIAN), p);
      }
      p.intoMemorySegment(ALL, at(scratch + part * 4L), LITTLE_ENDIAN);
    }
  }

  @Override
  public float exp(long x, float shift, long out, int n, long scratch) {
    expWhole(x, shift, out, n & -PARTIALS, scratch);
    return ScalarRows.expRest(x, shift, out, n & -PARTIALS, n, scratch);
  }

  private static void expWhole(long x, float shift, long out, int n, long scratch) {
    for (int part = 0; part < PARTIALS; part += LANES) {
      FloatVector p = FloatVector.broadcast(S, 0f);
      for (int i = part; i < n; i += PARTIALS) {
        FloatVector c =
            FloatVector.fromMemorySegment(S, ALL, at(x + i * 4L), LITTLE_ENDIAN).sub(shift);
        c = c.blend(EXP_MAX, c.compare(VectorOperators.GT, EXP_MAX));
        c = c.blend(EXP_MIN, c.compare(VectorOperators.LT, EXP_MIN));
        FloatVector t = c.fma(LOG2_E, ROUND);
        FloatVector m = t.sub(ROUND);
        FloatVector r = m.fma(LN2_LOW, m.fma(LN2_HIGH, c));
        FloatVector q = r.fma(E0, E1).fma(r, E2).fma(r, E3).fma(r, E4).fma(r, E5);
        q = q.fma(r.mul(r), r).add(ONE);
        IntVector whole = t.reinterpretAsInts().sub(ROUND_BITS);
        IntVector half = whole.lanewise(VectorOperators.ASHR, 1);
        IntVector low = half.add(BIAS).lanewise(VectorOperators.LSHL, 23);
        IntVector high = whole.sub(half).add(BIAS).lanewise(VectorOperators.LSHL, 23);
        FloatVector e = q.mul(low.reinterpretAsFloats()).mul(high.reinterpretAsFloats());
        e.intoMemorySegment(ALL, at(out + i * 4L), LITTLE_ENDIAN);
        p = p.add(e);
      }
      p.intoMemorySegment(ALL, at(scratch + part * 4L), LITTLE_ENDIAN);
    }
  }

  @Override
  public void columnSums(ColumnSums call, int from, int to, long scratch) {
    int column = from;
    for (; column <= to - 4 * LANES; column += 4 * LANES) {
      fourColumnSums(call, column, scratch);
    }
    for (; column <= to - LANES; column += LANES) {
      columnSum(call, column, scratch);
    }
    ScalarRows.sumColumns(call, column, to, scratch);
  }

  /// Four vectors of columns at once, so that a row is read by whole cache lines.
  private static void fourColumnSums(ColumnSums call, int column, long scratch) {
    int inner = call.rows / call.outer;
    long top = scratch;
    for (int j = 0; j < call.blocks; j++) {
      fourColumnBlocks(call, column, inner, j, top);
      for (int joins = Tree.joinsAfter(j); joins > 0; joins--) {
        top -= 4 * VECTOR;
        join(top, 4 * VECTOR);
      }
      top += 4 * VECTOR;
    }
    for (top -= 4 * VECTOR; top > scratch; ) {
      top -= 4 * VECTOR;
      join(top, 4 * VECTOR);
    }
    Memory.copy(scratch, call.out + column * 4L, 4 * VECTOR);
  }

  /// Adds the subtree of `bytes` bytes above `top` into it.
  private static void join(long top, long bytes) {
    for (long o = 0; o < bytes; o += VECTOR) {
      FloatVector.fromMemorySegment(S, ALL, at(top + o), LITTLE_ENDIAN)
          .add(FloatVector.fromMemorySegment(S, ALL, at(top + bytes + o), LITTLE_ENDIAN))
          .intoMemorySegment(ALL, at(top + o), LITTLE_ENDIAN);
    }
  }

  private static void fourColumnBlocks(ColumnSums call, int column, int inner, int j, long out) {
    int lo = Cuts.start(j, inner, call.blocks);
    int hi = Cuts.start(j + 1, inner, call.blocks);
    FloatVector s0 = FloatVector.zero(S);
    FloatVector s1 = s0;
    FloatVector s2 = s0;
    FloatVector s3 = s0;
    for (int o = 0; o < call.outer; o++) {
      for (int t = o * inner + lo; t < o * inner + hi; t++) {
        long from = at(call.x + ((long) t * call.width + column) * 4);
        s0 = s0.add(FloatVector.fromMemorySegment(S, ALL, from, LITTLE_ENDIAN));
        s1 = s1.add(FloatVector.fromMemorySegment(S, ALL, from + VECTOR, LITTLE_ENDIAN));
        s2 = s2.add(FloatVector.fromMemorySegment(S, ALL, from + 2 * VECTOR, LITTLE_ENDIAN));
        s3 = s3.add(FloatVector.fromMemorySegment(S, ALL, from + 3 * VECTOR, LITTLE_ENDIAN));
      }
    }
    s0.intoMemorySegment(ALL, at(out), LITTLE_ENDIAN);
    s1.intoMemorySegment(ALL, at(out + VECTOR), LITTLE_ENDIAN);
    s2.intoMemorySegment(ALL, at(out + 2 * VECTOR), LITTLE_ENDIAN);
    s3.intoMemorySegment(ALL, at(out + 3 * VECTOR), LITTLE_ENDIAN);
  }

  private static void columnSum(ColumnSums call, int column, long scratch) {
    int inner = call.rows / call.outer;
    long top = scratch;
    for (int j = 0; j < call.blocks; j++) {
      columnBlock(call, column, inner, j).intoMemorySegment(ALL, at(top), LITTLE_ENDIAN);
      for (int joins = Tree.joinsAfter(j); joins > 0; joins--) {
        top -= VECTOR;
        FloatVector.fromMemorySegment(S, ALL, at(top), LITTLE_ENDIAN)
            .add(FloatVector.fromMemorySegment(S, ALL, at(top + VECTOR), LITTLE_ENDIAN))
            .intoMemorySegment(ALL, at(top), LITTLE_ENDIAN);
      }
      top += VECTOR;
    }
    for (top -= VECTOR; top > scratch; ) {
      top -= VECTOR;
      FloatVector.fromMemorySegment(S, ALL, at(top), LITTLE_ENDIAN)
          .add(FloatVector.fromMemorySegment(S, ALL, at(top + VECTOR), LITTLE_ENDIAN))
          .intoMemorySegment(ALL, at(top), LITTLE_ENDIAN);
    }
    FloatVector.fromMemorySegment(S, ALL, at(scratch), LITTLE_ENDIAN)
        .intoMemorySegment(ALL, at(call.out + column * 4L), LITTLE_ENDIAN);
  }

  private static FloatVector columnBlock(ColumnSums call, int column, int inner, int j) {
    int lo = Cuts.start(j, inner, call.blocks);
    int hi = Cuts.start(j + 1, inner, call.blocks);
    FloatVector sum = FloatVector.zero(S);
    for (int o = 0; o < call.outer; o++) {
      for (int t = o * inner + lo; t < o * inner + hi; t++) {
        sum =
            sum.add(
                FloatVector.fromMemorySegment(
                    S, ALL, at(call.x + ((long) t * call.width + column) * 4), LITTLE_ENDIAN));
      }
    }
    return sum;
  }

  @Override
  public void crossEntropyGrad(CrossEntropies call, float scale, int from, int to, long scratch) {
    for (int r = from; r < to; r++) {
      long at = r * 4L * call.vocabulary;
      int target = call.target(r);
      if (target < 0) {
        ScalarElements.fillRange(0f, call.dlogits + at, 0, call.vocabulary);
      } else {
        float shift = Memory.f32(call.logSumExp + r * 4L);
        exp(call.logits + at, shift, call.dlogits + at, call.vocabulary, scratch);
        scale(call.dlogits + at, scale, call.vocabulary);
        ScalarRows.subtractTarget(call, r, target, scale);
      }
    }
  }

  private static void scale(long x, float by, int n) {
    int whole = n - n % LANES;
    for (int i = 0; i < whole; i += LANES) {
      FloatVector.fromMemorySegment(S, ALL, at(x + i * 4L), LITTLE_ENDIAN)
          .mul(by)
          .intoMemorySegment(ALL, at(x + i * 4L), LITTLE_ENDIAN);
    }
    ScalarElements.scaleRange(x, by, x, whole, n);
  }
}
