package dev.lockstep.device.cpu;

import static dev.lockstep.device.cpu.Memory.ALL;
import static dev.lockstep.device.cpu.Memory.at;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.invoke.MethodHandles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// [ElementKernels] on the Vector API, one hidden class per width (see [KernelSet]). A loop per
/// function, so that each is compiled with its operation inlined; what is left over at the end goes
/// to [ScalarElements].
final class VectorElements implements ElementKernels {
  private static final VectorSpecies<Float> S = KernelSet.species(MethodHandles.lookup());
  private static final int LANES = S.length();
  private static final long VECTOR = S.vectorByteSize();

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
  private static final FloatVector MAX = FloatVector.broadcast(S, Float.MAX_VALUE);
  private static final FloatVector ONE = FloatVector.broadcast(S, 1f);
  private static final IntVector ROUND_BITS = ROUND.reinterpretAsInts();
  private static final IntVector BIAS = ONE.reinterpretAsInts().lanewise(VectorOperators.LSHR, 23);
  private static final FloatVector L0 = FloatVector.broadcast(S, FloatMath.L0);
  private static final FloatVector L1 = FloatVector.broadcast(S, FloatMath.L1);
  private static final FloatVector L2 = FloatVector.broadcast(S, FloatMath.L2);
  private static final FloatVector L3 = FloatVector.broadcast(S, FloatMath.L3);
  private static final FloatVector L4 = FloatVector.broadcast(S, FloatMath.L4);
  private static final FloatVector L5 = FloatVector.broadcast(S, FloatMath.L5);
  private static final FloatVector L6 = FloatVector.broadcast(S, FloatMath.L6);
  private static final FloatVector L7 = FloatVector.broadcast(S, FloatMath.L7);
  private static final FloatVector L8 = FloatVector.broadcast(S, FloatMath.L8);
  private static final FloatVector T0 = FloatVector.broadcast(S, FloatMath.T0);
  private static final FloatVector T1 = FloatVector.broadcast(S, FloatMath.T1);
  private static final FloatVector T2 = FloatVector.broadcast(S, FloatMath.T2);
  private static final FloatVector T3 = FloatVector.broadcast(S, FloatMath.T3);
  private static final FloatVector T4 = FloatVector.broadcast(S, FloatMath.T4);

  private static int whole(int n) {
    return n - n % LANES;
  }

  @Override
  public void unary(Unary op, long x, long out, int n) {
    long end = whole(n) * 4L;
    switch (op) {
      case NEG -> neg(x, out, end);
      case EXP -> exp(x, out, end);
      case LOG -> log(x, out, end);
      case TANH -> tanh(x, out, end);
      case SQRT -> sqrt(x, out, end);
      case RSQRT -> rsqrt(x, out, end);
      case GELU -> gelu(x, out, end);
      case SILU -> silu(x, out, end);
    }
    ScalarElements.applyUnary(op, x, out, whole(n), n);
  }

  @Override
  public void binary(Binary op, long a, long b, long out, int n) {
    long end = whole(n) * 4L;
    switch (op) {
      case ADD -> add(a, b, out, end);
      case SUB -> sub(a, b, out, end);
      case MUL -> mul(a, b, out, end);
      case DIV -> div(a, b, out, end);
      case MAX -> max(a, b, out, end);
      case MIN -> min(a, b, out, end);
      case GELU_GRAD -> geluGrad(a, b, out, end);
      case SILU_GRAD -> siluGrad(a, b, out, end);
      case SWIGLU -> swiGlu(a, b, out, end);
    }
    ScalarElements.applyBinary(op, a, b, out, whole(n), n);
  }

  private static void neg(long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector.fromMemorySegment(S, ALL, at(x + o), LITTLE_ENDIAN)
          .neg()
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void exp(long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector c = FloatVector.fromMemorySegment(S, ALL, at(x + o), LITTLE_ENDIAN);
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
      e.intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void log(long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector value = FloatVector.fromMemorySegment(S, ALL, at(x + o), LITTLE_ENDIAN);
      VectorMask<Float> subnormal = value.compare(VectorOperators.LT, Float.MIN_NORMAL);
      FloatVector v = value.mul(FloatMath.TWO_23, subnormal);
      IntVector bits = v.reinterpretAsInts().sub(FloatMath.SQRT_HALF_BITS);
      FloatVector e =
          (FloatVector) bits.lanewise(VectorOperators.ASHR, 23).convert(VectorOperators.I2F, 0);
      e = e.sub(FloatVector.zero(S).blend(23f, subnormal));
      FloatVector f =
          bits.and(0x007FFFFF).add(FloatMath.SQRT_HALF_BITS).reinterpretAsFloats().sub(ONE);
      FloatVector p = f.fma(L0, L1).fma(f, L2).fma(f, L3).fma(f, L4).fma(f, L5).fma(f, L6);
      p = p.fma(f, L7).fma(f, L8);
      FloatVector z = f.mul(f);
      p = e.fma(LN2_LOW.neg(), p.mul(f).mul(z));
      p = e.fma(LN2_HIGH.neg(), f.add(z.fma(FloatVector.broadcast(S, -0.5f), p)));
      p = p.blend(Float.NEGATIVE_INFINITY, value.compare(VectorOperators.EQ, 0f));
      p = p.blend(value, value.compare(VectorOperators.EQ, Float.POSITIVE_INFINITY));
      FloatVector.broadcast(S, Float.NaN)
          .blend(p, value.compare(VectorOperators.GE, 0f))
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void tanh(long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector v = FloatVector.fromMemorySegment(S, ALL, at(x + o), LITTLE_ENDIAN);
      FloatVector a = v.abs();
      FloatVector near =
          a.blend(FloatMath.TANH_MAX, a.compare(VectorOperators.GT, FloatMath.TANH_MAX));
      FloatVector c = near.add(near);
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
      FloatVector large = ONE.sub(ONE.add(ONE).div(e.add(ONE)));
      large = large.blend(large.neg(), v.compare(VectorOperators.LT, 0f));
      FloatVector z = v.mul(v);
      FloatVector p = z.fma(T0, T1).fma(z, T2).fma(z, T3).fma(z, T4).fma(z, ONE);
      large
          .blend(v.mul(p), a.compare(VectorOperators.LT, FloatMath.TANH_SMALL))
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void sqrt(long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector.fromMemorySegment(S, ALL, at(x + o), LITTLE_ENDIAN)
          .sqrt()
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void rsqrt(long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector.broadcast(S, 1f)
          .div(FloatVector.fromMemorySegment(S, ALL, at(x + o), LITTLE_ENDIAN).sqrt())
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void gelu(long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector v = FloatVector.fromMemorySegment(S, ALL, at(x + o), LITTLE_ENDIAN);
      FloatVector c = v.mul(FloatMath.GELU_CUBIC).fma(v.mul(v), v).mul(-2f * FloatMath.GELU_SCALE);
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
      v.mul(ONE.div(e.add(ONE))).intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void add(long a, long b, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector.fromMemorySegment(S, ALL, at(a + o), LITTLE_ENDIAN)
          .add(FloatVector.fromMemorySegment(S, ALL, at(b + o), LITTLE_ENDIAN))
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void sub(long a, long b, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector.fromMemorySegment(S, ALL, at(a + o), LITTLE_ENDIAN)
          .sub(FloatVector.fromMemorySegment(S, ALL, at(b + o), LITTLE_ENDIAN))
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void mul(long a, long b, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector.fromMemorySegment(S, ALL, at(a + o), LITTLE_ENDIAN)
          .mul(FloatVector.fromMemorySegment(S, ALL, at(b + o), LITTLE_ENDIAN))
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void div(long a, long b, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector.fromMemorySegment(S, ALL, at(a + o), LITTLE_ENDIAN)
          .div(FloatVector.fromMemorySegment(S, ALL, at(b + o), LITTLE_ENDIAN))
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void max(long a, long b, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector.fromMemorySegment(S, ALL, at(a + o), LITTLE_ENDIAN)
          .max(FloatVector.fromMemorySegment(S, ALL, at(b + o), LITTLE_ENDIAN))
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void min(long a, long b, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector.fromMemorySegment(S, ALL, at(a + o), LITTLE_ENDIAN)
          .min(FloatVector.fromMemorySegment(S, ALL, at(b + o), LITTLE_ENDIAN))
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void geluGrad(long a, long b, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector v = FloatVector.fromMemorySegment(S, ALL, at(b + o), LITTLE_ENDIAN);
      FloatVector c = v.mul(FloatMath.GELU_CUBIC).fma(v.mul(v), v).mul(-2f * FloatMath.GELU_SCALE);
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
      FloatVector sigmoid = ONE.div(e.add(ONE));
      FloatVector slope = v.mul(FloatMath.GELU_SLOPE).fma(v, ONE).mul(2f * FloatMath.GELU_SCALE);
      slope = slope.blend(MAX, slope.compare(VectorOperators.GT, MAX));
      FloatVector inner = v.mul(sigmoid).mul(ONE.sub(sigmoid));
      FloatVector.fromMemorySegment(S, ALL, at(a + o), LITTLE_ENDIAN)
          .mul(inner.fma(slope, sigmoid))
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void silu(long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector v = FloatVector.fromMemorySegment(S, ALL, at(x + o), LITTLE_ENDIAN);
      FloatVector c = v.neg();
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
      FloatVector sigmoid = ONE.div(e.add(ONE));
      v.mul(sigmoid).intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void siluGrad(long dy, long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector v = FloatVector.fromMemorySegment(S, ALL, at(x + o), LITTLE_ENDIAN);
      FloatVector c = v.neg();
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
      FloatVector sigmoid = ONE.div(e.add(ONE));
      FloatVector.fromMemorySegment(S, ALL, at(dy + o), LITTLE_ENDIAN)
          .mul(v.mul(sigmoid).fma(ONE.sub(sigmoid), sigmoid))
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  private static void swiGlu(long gate, long up, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector v = FloatVector.fromMemorySegment(S, ALL, at(gate + o), LITTLE_ENDIAN);
      FloatVector c = v.neg();
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
      FloatVector sigmoid = ONE.div(e.add(ONE));
      v.mul(sigmoid)
          .mul(FloatVector.fromMemorySegment(S, ALL, at(up + o), LITTLE_ENDIAN))
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  @Override
  public void swiGluGrad(long dy, long gate, long up, long dgate, long dup, int n) {
    gateGrads(dy, gate, up, dgate, dup, whole(n) * 4L);
    ScalarElements.gateGrads(dy, gate, up, dgate, dup, whole(n), n);
  }

  private static void gateGrads(long dy, long gate, long up, long dgate, long dup, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector v = FloatVector.fromMemorySegment(S, ALL, at(gate + o), LITTLE_ENDIAN);
      FloatVector c = v.neg();
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
      FloatVector sigmoid = ONE.div(e.add(ONE));
      FloatVector d = FloatVector.fromMemorySegment(S, ALL, at(dy + o), LITTLE_ENDIAN);
      FloatVector u = FloatVector.fromMemorySegment(S, ALL, at(up + o), LITTLE_ENDIAN);
      FloatVector silu = v.mul(sigmoid);
      d.mul(u)
          .mul(silu.fma(ONE.sub(sigmoid), sigmoid))
          .intoMemorySegment(ALL, at(dgate + o), LITTLE_ENDIAN);
      d.mul(silu).intoMemorySegment(ALL, at(dup + o), LITTLE_ENDIAN);
    }
  }

  @Override
  public void rotate(long x, long out, int heads, int half, long angles) {
    for (int head = 0; head < heads; head++) {
      long at = 8L * head * half;
      rotateHead(x + at, out + at, half, angles);
      ScalarElements.rotateRange(x + at, out + at, half, angles, whole(half));
    }
  }

  private static void rotateHead(long x, long out, int half, long angles) {
    long step = half * 4L;
    long end = whole(half) * 4L;
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector a = FloatVector.fromMemorySegment(S, ALL, at(x + o), LITTLE_ENDIAN);
      FloatVector b = FloatVector.fromMemorySegment(S, ALL, at(x + step + o), LITTLE_ENDIAN);
      FloatVector c = FloatVector.fromMemorySegment(S, ALL, at(angles + o), LITTLE_ENDIAN);
      FloatVector s = FloatVector.fromMemorySegment(S, ALL, at(angles + step + o), LITTLE_ENDIAN);
      a.fma(c, b.mul(s).neg()).intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
      b.fma(c, a.mul(s)).intoMemorySegment(ALL, at(out + step + o), LITTLE_ENDIAN);
    }
  }

  @Override
  public void scale(long x, float by, long out, int n) {
    long end = whole(n) * 4L;
    for (long o = 0; o < end; o += VECTOR) {
      FloatVector.fromMemorySegment(S, ALL, at(x + o), LITTLE_ENDIAN)
          .mul(by)
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
    ScalarElements.scaleRange(x, by, out, whole(n), n);
  }

  @Override
  public void fill(float value, long out, int n) {
    long end = whole(n) * 4L;
    FloatVector filled = FloatVector.broadcast(S, value);
    for (long o = 0; o < end; o += VECTOR) {
      filled.intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
    ScalarElements.fillRange(value, out, whole(n), n);
  }

  @Override
  public void adamW(AdamWUpdate step, long from, int n) {
    adam(step, from * 4, whole(n) * 4L);
    ScalarElements.adamRange(step, from, whole(n), n);
  }

  private static void adam(AdamWUpdate s, long from, long bytes) {
    FloatVector beta1 = FloatVector.broadcast(S, s.beta1);
    FloatVector beta2 = FloatVector.broadcast(S, s.beta2);
    FloatVector decay = FloatVector.broadcast(S, s.decay);
    float rest1 = 1f - s.beta1;
    float rest2 = 1f - s.beta2;
    for (long at = from; at < from + bytes; at += VECTOR) {
      FloatVector g =
          FloatVector.fromMemorySegment(S, ALL, at(s.grad + at), LITTLE_ENDIAN).mul(s.gradScale);
      FloatVector m =
          FloatVector.fromMemorySegment(S, ALL, at(s.m + at), LITTLE_ENDIAN)
              .fma(beta1, g.mul(rest1));
      FloatVector v =
          FloatVector.fromMemorySegment(S, ALL, at(s.v + at), LITTLE_ENDIAN)
              .fma(beta2, g.mul(rest2).mul(g));
      FloatVector p = FloatVector.fromMemorySegment(S, ALL, at(s.param + at), LITTLE_ENDIAN);
      FloatVector down = v.mul(s.correction).sqrt().add(s.epsilon);
      m.intoMemorySegment(ALL, at(s.mOut + at), LITTLE_ENDIAN);
      v.intoMemorySegment(ALL, at(s.vOut + at), LITTLE_ENDIAN);
      p.fma(decay, p)
          .sub(m.mul(s.rate).div(down))
          .intoMemorySegment(ALL, at(s.paramOut + at), LITTLE_ENDIAN);
    }
  }
}
