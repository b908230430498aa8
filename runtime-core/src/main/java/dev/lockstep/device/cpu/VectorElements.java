package dev.lockstep.device.cpu;

import java.lang.invoke.MethodHandles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/// [ElementKernels] on the Vector API, one hidden class per width (see [KernelSet]). A loop per
/// function, so that each is compiled with its operation inlined; what is left over at the end goes
/// to [ScalarElements].
final class VectorElements implements ElementKernels {
  private static final VectorSpecies<Float> S = KernelSet.species(MethodHandles.lookup());
  private static final int LANES = S.length();
  private static final long VECTOR = S.vectorByteSize();

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
    }
    ScalarElements.applyBinary(op, a, b, out, whole(n), n);
  }

  private static void neg(long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(Memory.load(S, x + o).neg(), out + o);
    }
  }

  private static void exp(long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(VectorMath.exp(S, Memory.load(S, x + o)), out + o);
    }
  }

  private static void log(long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(VectorMath.log(S, Memory.load(S, x + o)), out + o);
    }
  }

  private static void tanh(long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(VectorMath.tanh(S, Memory.load(S, x + o)), out + o);
    }
  }

  private static void sqrt(long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(Memory.load(S, x + o).sqrt(), out + o);
    }
  }

  private static void rsqrt(long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(FloatVector.broadcast(S, 1f).div(Memory.load(S, x + o).sqrt()), out + o);
    }
  }

  private static void gelu(long x, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(VectorMath.gelu(S, Memory.load(S, x + o)), out + o);
    }
  }

  private static void add(long a, long b, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(Memory.load(S, a + o).add(Memory.load(S, b + o)), out + o);
    }
  }

  private static void sub(long a, long b, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(Memory.load(S, a + o).sub(Memory.load(S, b + o)), out + o);
    }
  }

  private static void mul(long a, long b, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(Memory.load(S, a + o).mul(Memory.load(S, b + o)), out + o);
    }
  }

  private static void div(long a, long b, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(Memory.load(S, a + o).div(Memory.load(S, b + o)), out + o);
    }
  }

  private static void max(long a, long b, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(Memory.load(S, a + o).max(Memory.load(S, b + o)), out + o);
    }
  }

  private static void min(long a, long b, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(Memory.load(S, a + o).min(Memory.load(S, b + o)), out + o);
    }
  }

  private static void geluGrad(long a, long b, long out, long end) {
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(VectorMath.geluGrad(S, Memory.load(S, a + o), Memory.load(S, b + o)), out + o);
    }
  }

  @Override
  public void scale(long x, float by, long out, int n) {
    long end = whole(n) * 4L;
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(Memory.load(S, x + o).mul(by), out + o);
    }
    ScalarElements.scaleRange(x, by, out, whole(n), n);
  }

  @Override
  public void fill(float value, long out, int n) {
    long end = whole(n) * 4L;
    FloatVector filled = FloatVector.broadcast(S, value);
    for (long o = 0; o < end; o += VECTOR) {
      Memory.store(filled, out + o);
    }
    ScalarElements.fillRange(value, out, whole(n), n);
  }

  @Override
  public void adamW(AdamWStep step, long from, int n) {
    adam(step, from * 4, whole(n) * 4L);
    ScalarElements.adamRange(step, from, whole(n), n);
  }

  private static void adam(AdamWStep s, long from, long bytes) {
    FloatVector beta1 = FloatVector.broadcast(S, s.beta1);
    FloatVector beta2 = FloatVector.broadcast(S, s.beta2);
    FloatVector decay = FloatVector.broadcast(S, s.decay);
    float rest1 = 1f - s.beta1;
    float rest2 = 1f - s.beta2;
    for (long at = from; at < from + bytes; at += VECTOR) {
      FloatVector g = Memory.load(S, s.grad + at).mul(s.gradScale);
      FloatVector m = Memory.load(S, s.m + at).fma(beta1, g.mul(rest1));
      FloatVector v = Memory.load(S, s.v + at).fma(beta2, g.mul(rest2).mul(g));
      FloatVector p = Memory.load(S, s.param + at);
      FloatVector down = v.mul(s.correction).sqrt().add(s.epsilon);
      Memory.store(m, s.mOut + at);
      Memory.store(v, s.vOut + at);
      Memory.store(p.fma(decay, p).sub(m.mul(s.rate).div(down)), s.paramOut + at);
    }
  }
}
