package dev.lockstep.device.cpu;

import static dev.lockstep.device.cpu.FloatMath.*;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// The vector twins of [FloatMath], operation by operation.
///
/// The species is a constant at every call; each method is small enough to be inlined whole, else
/// vectors would be boxed.
final class VectorMath {
  private VectorMath() {}

  static FloatVector exp(VectorSpecies<Float> s, FloatVector value) {
    FloatVector x = value;
    x = x.blend(EXP_MAX, x.compare(VectorOperators.GT, EXP_MAX));
    x = x.blend(EXP_MIN, x.compare(VectorOperators.LT, EXP_MIN));
    FloatVector t = x.fma(FloatVector.broadcast(s, LOG2_E), FloatVector.broadcast(s, ROUND));
    FloatVector n = t.sub(ROUND);
    FloatVector r = n.fma(FloatVector.broadcast(s, -LN2_HIGH), x);
    r = n.fma(FloatVector.broadcast(s, -LN2_LOW), r);
    FloatVector p = r.fma(FloatVector.broadcast(s, E0), FloatVector.broadcast(s, E1));
    p = p.fma(r, FloatVector.broadcast(s, E2));
    p = p.fma(r, FloatVector.broadcast(s, E3));
    p = p.fma(r, FloatVector.broadcast(s, E4));
    p = p.fma(r, FloatVector.broadcast(s, E5));
    p = p.fma(r.mul(r), r).add(1f);
    return power(p, t.reinterpretAsInts().sub(ROUND_BITS));
  }

  private static FloatVector power(FloatVector p, IntVector exponent) {
    IntVector half = exponent.lanewise(VectorOperators.ASHR, 1);
    IntVector low = half.add(127).lanewise(VectorOperators.LSHL, 23);
    IntVector high = exponent.sub(half).add(127).lanewise(VectorOperators.LSHL, 23);
    return p.mul(low.reinterpretAsFloats()).mul(high.reinterpretAsFloats());
  }

  static FloatVector log(VectorSpecies<Float> s, FloatVector value) {
    VectorMask<Float> subnormal = value.compare(VectorOperators.LT, Float.MIN_NORMAL);
    FloatVector x = value.mul(TWO_23, subnormal);
    IntVector bits = x.reinterpretAsInts().sub(SQRT_HALF_BITS);
    FloatVector e =
        (FloatVector) bits.lanewise(VectorOperators.ASHR, 23).convert(VectorOperators.I2F, 0);
    e = e.sub(FloatVector.zero(s).blend(23f, subnormal));
    FloatVector f = bits.and(0x007FFFFF).add(SQRT_HALF_BITS).reinterpretAsFloats().sub(1f);
    FloatVector p = logTail(s, f, e);
    p = p.blend(Float.NEGATIVE_INFINITY, value.compare(VectorOperators.EQ, 0f));
    p = p.blend(value, value.compare(VectorOperators.EQ, Float.POSITIVE_INFINITY));
    return FloatVector.broadcast(s, Float.NaN).blend(p, value.compare(VectorOperators.GE, 0f));
  }

  private static FloatVector logTail(VectorSpecies<Float> s, FloatVector f, FloatVector e) {
    FloatVector p = f.fma(FloatVector.broadcast(s, L0), FloatVector.broadcast(s, L1));
    p = p.fma(f, FloatVector.broadcast(s, L2));
    p = p.fma(f, FloatVector.broadcast(s, L3));
    p = p.fma(f, FloatVector.broadcast(s, L4));
    p = p.fma(f, FloatVector.broadcast(s, L5));
    p = p.fma(f, FloatVector.broadcast(s, L6));
    p = p.fma(f, FloatVector.broadcast(s, L7));
    p = p.fma(f, FloatVector.broadcast(s, L8));
    FloatVector z = f.mul(f);
    p = p.mul(f).mul(z);
    p = e.fma(FloatVector.broadcast(s, LN2_LOW), p);
    p = z.fma(FloatVector.broadcast(s, -0.5f), p);
    return e.fma(FloatVector.broadcast(s, LN2_HIGH), f.add(p));
  }

  static FloatVector tanh(VectorSpecies<Float> s, FloatVector x) {
    FloatVector a = x.abs();
    FloatVector z = x.mul(x);
    FloatVector p = z.fma(FloatVector.broadcast(s, T0), FloatVector.broadcast(s, T1));
    p = p.fma(z, FloatVector.broadcast(s, T2));
    p = p.fma(z, FloatVector.broadcast(s, T3));
    p = p.fma(z, FloatVector.broadcast(s, T4));
    FloatVector small = x.mul(p.fma(z, FloatVector.broadcast(s, 1f)));
    FloatVector clamped = a.blend(TANH_MAX, a.compare(VectorOperators.GT, TANH_MAX));
    FloatVector two = FloatVector.broadcast(s, 2f);
    FloatVector one = FloatVector.broadcast(s, 1f);
    FloatVector large = one.sub(two.div(exp(s, clamped.add(clamped)).add(1f)));
    large = large.blend(large.neg(), x.compare(VectorOperators.LT, 0f));
    return large.blend(small, a.compare(VectorOperators.LT, TANH_SMALL));
  }

  static FloatVector gelu(VectorSpecies<Float> s, FloatVector x) {
    return x.mul(sigmoid2(s, x));
  }

  static FloatVector geluGrad(VectorSpecies<Float> s, FloatVector dy, FloatVector x) {
    FloatVector sigmoid = sigmoid2(s, x);
    FloatVector one = FloatVector.broadcast(s, 1f);
    FloatVector slope = x.mul(GELU_SLOPE).fma(x, one).mul(2f * GELU_SCALE);
    FloatVector inner = x.mul(sigmoid).mul(one.sub(sigmoid));
    return dy.mul(inner.fma(slope, sigmoid));
  }

  private static FloatVector sigmoid2(VectorSpecies<Float> s, FloatVector x) {
    FloatVector u = x.mul(GELU_CUBIC).fma(x.mul(x), x);
    FloatVector e = exp(s, u.mul(-2f * GELU_SCALE));
    return FloatVector.broadcast(s, 1f).div(e.add(1f));
  }
}
