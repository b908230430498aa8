package dev.lockstep.device.cpu;

import static dev.lockstep.device.cpu.Memory.ALL;
import static dev.lockstep.device.cpu.Memory.at;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.invoke.MethodHandles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// [SoftmaxKernels] on the Vector API, one hidden class per width (see [KernelSet]).
final class VectorSoftmax implements SoftmaxKernels {
  private static final VectorSpecies<Float> S = KernelSet.species(MethodHandles.lookup());
  private static final int LANES = S.length();

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
  public void greatest(long strip, long row, int keys, long sums) {
    for (int part = 0; part < 16; part += LANES) {
      FloatVector m0 = FloatVector.broadcast(S, Float.NEGATIVE_INFINITY);
      FloatVector m1 = m0;
      FloatVector m2 = m0;
      FloatVector m3 = m0;
      for (int key = part; key < keys; key += 16) {
        long from = strip + key * 4L;
        m0 = m0.max(FloatVector.fromMemorySegment(S, ALL, at(from), LITTLE_ENDIAN));
        m1 = m1.max(FloatVector.fromMemorySegment(S, ALL, at(from + row), LITTLE_ENDIAN));
        m2 = m2.max(FloatVector.fromMemorySegment(S, ALL, at(from + 2 * row), LITTLE_ENDIAN));
        m3 = m3.max(FloatVector.fromMemorySegment(S, ALL, at(from + 3 * row), LITTLE_ENDIAN));
      }
      long to = at(sums + part * 4L);
      m0.intoMemorySegment(ALL, to, LITTLE_ENDIAN);
      m1.intoMemorySegment(ALL, to + RowKernels.PARTIAL_BYTES, LITTLE_ENDIAN);
      m2.intoMemorySegment(ALL, to + 2 * RowKernels.PARTIAL_BYTES, LITTLE_ENDIAN);
      m3.intoMemorySegment(ALL, to + 3 * RowKernels.PARTIAL_BYTES, LITTLE_ENDIAN);
    }
  }

  @Override
  public void exponentials(
      long strip,
      long row,
      int keys,
      float shift0,
      float shift1,
      float shift2,
      float shift3,
      long sums) {
    for (int part = 0; part < 16; part += LANES) {
      FloatVector s0 = FloatVector.zero(S);
      FloatVector s1 = s0;
      FloatVector s2 = s0;
      FloatVector s3 = s0;
      for (int key = part; key < keys; key += 16) {
        long from = strip + key * 4L;
        long a0 = at(from);
        FloatVector c0 = FloatVector.fromMemorySegment(S, ALL, a0, LITTLE_ENDIAN).sub(shift0);
        c0 = c0.blend(EXP_MAX, c0.compare(VectorOperators.GT, EXP_MAX));
        c0 = c0.blend(EXP_MIN, c0.compare(VectorOperators.LT, EXP_MIN));
        FloatVector t0 = c0.fma(LOG2_E, ROUND);
        FloatVector n0 = t0.sub(ROUND);
        FloatVector r0 = n0.fma(LN2_LOW, n0.fma(LN2_HIGH, c0));
        FloatVector q0 = r0.fma(E0, E1).fma(r0, E2).fma(r0, E3).fma(r0, E4).fma(r0, E5);
        q0 = q0.fma(r0.mul(r0), r0).add(ONE);
        IntVector w0 = t0.reinterpretAsInts().sub(ROUND_BITS);
        IntVector h0 = w0.lanewise(VectorOperators.ASHR, 1);
        q0 = q0.mul(h0.add(BIAS).lanewise(VectorOperators.LSHL, 23).reinterpretAsFloats());
        h0 = w0.sub(h0).add(BIAS).lanewise(VectorOperators.LSHL, 23);
        q0 = q0.mul(h0.reinterpretAsFloats());
        q0.intoMemorySegment(ALL, a0, LITTLE_ENDIAN);
        s0 = s0.add(q0);
        long a1 = at(from + row);
        FloatVector c1 = FloatVector.fromMemorySegment(S, ALL, a1, LITTLE_ENDIAN).sub(shift1);
        c1 = c1.blend(EXP_MAX, c1.compare(VectorOperators.GT, EXP_MAX));
        c1 = c1.blend(EXP_MIN, c1.compare(VectorOperators.LT, EXP_MIN));
        FloatVector t1 = c1.fma(LOG2_E, ROUND);
        FloatVector n1 = t1.sub(ROUND);
        FloatVector r1 = n1.fma(LN2_LOW, n1.fma(LN2_HIGH, c1));
        FloatVector q1 = r1.fma(E0, E1).fma(r1, E2).fma(r1, E3).fma(r1, E4).fma(r1, E5);
        q1 = q1.fma(r1.mul(r1), r1).add(ONE);
        IntVector w1 = t1.reinterpretAsInts().sub(ROUND_BITS);
        IntVector h1 = w1.lanewise(VectorOperators.ASHR, 1);
        q1 = q1.mul(h1.add(BIAS).lanewise(VectorOperators.LSHL, 23).reinterpretAsFloats());
        h1 = w1.sub(h1).add(BIAS).lanewise(VectorOperators.LSHL, 23);
        q1 = q1.mul(h1.reinterpretAsFloats());
        q1.intoMemorySegment(ALL, a1, LITTLE_ENDIAN);
        s1 = s1.add(q1);
        long a2 = at(from + 2 * row);
        FloatVector c2 = FloatVector.fromMemorySegment(S, ALL, a2, LITTLE_ENDIAN).sub(shift2);
        c2 = c2.blend(EXP_MAX, c2.compare(VectorOperators.GT, EXP_MAX));
        c2 = c2.blend(EXP_MIN, c2.compare(VectorOperators.LT, EXP_MIN));
        FloatVector t2 = c2.fma(LOG2_E, ROUND);
        FloatVector n2 = t2.sub(ROUND);
        FloatVector r2 = n2.fma(LN2_LOW, n2.fma(LN2_HIGH, c2));
        FloatVector q2 = r2.fma(E0, E1).fma(r2, E2).fma(r2, E3).fma(r2, E4).fma(r2, E5);
        q2 = q2.fma(r2.mul(r2), r2).add(ONE);
        IntVector w2 = t2.reinterpretAsInts().sub(ROUND_BITS);
        IntVector h2 = w2.lanewise(VectorOperators.ASHR, 1);
        q2 = q2.mul(h2.add(BIAS).lanewise(VectorOperators.LSHL, 23).reinterpretAsFloats());
        h2 = w2.sub(h2).add(BIAS).lanewise(VectorOperators.LSHL, 23);
        q2 = q2.mul(h2.reinterpretAsFloats());
        q2.intoMemorySegment(ALL, a2, LITTLE_ENDIAN);
        s2 = s2.add(q2);
        long a3 = at(from + 3 * row);
        FloatVector c3 = FloatVector.fromMemorySegment(S, ALL, a3, LITTLE_ENDIAN).sub(shift3);
        c3 = c3.blend(EXP_MAX, c3.compare(VectorOperators.GT, EXP_MAX));
        c3 = c3.blend(EXP_MIN, c3.compare(VectorOperators.LT, EXP_MIN));
        FloatVector t3 = c3.fma(LOG2_E, ROUND);
        FloatVector n3 = t3.sub(ROUND);
        FloatVector r3 = n3.fma(LN2_LOW, n3.fma(LN2_HIGH, c3));
        FloatVector q3 = r3.fma(E0, E1).fma(r3, E2).fma(r3, E3).fma(r3, E4).fma(r3, E5);
        q3 = q3.fma(r3.mul(r3), r3).add(ONE);
        IntVector w3 = t3.reinterpretAsInts().sub(ROUND_BITS);
        IntVector h3 = w3.lanewise(VectorOperators.ASHR, 1);
        q3 = q3.mul(h3.add(BIAS).lanewise(VectorOperators.LSHL, 23).reinterpretAsFloats());
        h3 = w3.sub(h3).add(BIAS).lanewise(VectorOperators.LSHL, 23);
        q3 = q3.mul(h3.reinterpretAsFloats());
        q3.intoMemorySegment(ALL, a3, LITTLE_ENDIAN);
        s3 = s3.add(q3);
      }
      long to = at(sums + part * 4L);
      s0.intoMemorySegment(ALL, to, LITTLE_ENDIAN);
      s1.intoMemorySegment(ALL, to + RowKernels.PARTIAL_BYTES, LITTLE_ENDIAN);
      s2.intoMemorySegment(ALL, to + 2 * RowKernels.PARTIAL_BYTES, LITTLE_ENDIAN);
      s3.intoMemorySegment(ALL, to + 3 * RowKernels.PARTIAL_BYTES, LITTLE_ENDIAN);
    }
  }
}
