package dev.lockstep.device.cpu;

/// [ElementKernels] one element at a time: the fallback, the oracle, and the tail of the vector
/// path.
final class ScalarElements implements ElementKernels {
  @Override
  public void unary(Unary op, long x, long out, int n) {
    applyUnary(op, x, out, 0, n);
  }

  @Override
  public void binary(Binary op, long a, long b, long out, int n) {
    applyBinary(op, a, b, out, 0, n);
  }

  static void applyUnary(Unary op, long x, long out, int from, int to) {
    for (int i = from; i < to; i++) {
      Memory.f32(out + i * 4L, of(op, Memory.f32(x + i * 4L)));
    }
  }

  static void applyBinary(Binary op, long a, long b, long out, int from, int to) {
    for (int i = from; i < to; i++) {
      Memory.f32(out + i * 4L, of(op, Memory.f32(a + i * 4L), Memory.f32(b + i * 4L)));
    }
  }

  static float of(Unary op, float x) {
    return switch (op) {
      case NEG -> -x;
      case EXP -> FloatMath.exp(x);
      case LOG -> FloatMath.log(x);
      case TANH -> FloatMath.tanh(x);
      case SQRT -> (float) Math.sqrt(x);
      case RSQRT -> 1f / (float) Math.sqrt(x);
      case GELU -> FloatMath.gelu(x);
      case SILU -> FloatMath.silu(x);
    };
  }

  static float of(Binary op, float a, float b) {
    return switch (op) {
      case ADD -> a + b;
      case SUB -> a - b;
      case MUL -> a * b;
      case DIV -> a / b;
      case MAX -> Math.max(a, b);
      case MIN -> Math.min(a, b);
      case GELU_GRAD -> FloatMath.geluGrad(a, b);
      case SILU_GRAD -> FloatMath.siluGrad(a, b);
      case SWIGLU -> FloatMath.silu(a) * b;
    };
  }

  @Override
  public void swiGluGrad(long dy, long gate, long up, long dgate, long dup, int n) {
    gateGrads(dy, gate, up, dgate, dup, 0, n);
  }

  static void gateGrads(long dy, long gate, long up, long dgate, long dup, int from, int to) {
    for (int i = from; i < to; i++) {
      float d = Memory.f32(dy + i * 4L);
      float g = Memory.f32(gate + i * 4L);
      float u = Memory.f32(up + i * 4L);
      Memory.f32(dgate + i * 4L, FloatMath.gateGrad(d, g, u));
      Memory.f32(dup + i * 4L, d * FloatMath.silu(g));
    }
  }

  @Override
  public void rotate(long x, long out, int heads, int half, long angles) {
    for (int head = 0; head < heads; head++) {
      long at = 8L * head * half;
      rotateRange(x + at, out + at, half, angles, 0);
    }
  }

  static void rotateRange(long x, long out, int half, long angles, int from) {
    for (int i = from; i < half; i++) {
      float a = Memory.f32(x + i * 4L);
      float b = Memory.f32(x + (half + i) * 4L);
      float c = Memory.f32(angles + i * 4L);
      float s = Memory.f32(angles + (half + i) * 4L);
      Memory.f32(out + i * 4L, Math.fma(a, c, -(b * s)));
      Memory.f32(out + (half + i) * 4L, Math.fma(b, c, a * s));
    }
  }

  @Override
  public void scale(long x, float by, long out, int n) {
    scaleRange(x, by, out, 0, n);
  }

  static void scaleRange(long x, float by, long out, int from, int to) {
    for (int i = from; i < to; i++) {
      Memory.f32(out + i * 4L, Memory.f32(x + i * 4L) * by);
    }
  }

  @Override
  public void fill(float value, long out, int n) {
    fillRange(value, out, 0, n);
  }

  static void fillRange(float value, long out, int from, int to) {
    for (int i = from; i < to; i++) {
      Memory.f32(out + i * 4L, value);
    }
  }

  @Override
  public void adamW(AdamWUpdate step, long from, int n) {
    adamRange(step, from, 0, n);
  }

  static void adamRange(AdamWUpdate s, long base, int from, int to) {
    for (int i = from; i < to; i++) {
      long at = (base + i) * 4;
      float g = Memory.f32(s.grad + at) * s.gradScale;
      float m = Math.fma(Memory.f32(s.m + at), s.beta1, g * (1f - s.beta1));
      float v = Math.fma(Memory.f32(s.v + at), s.beta2, (g * (1f - s.beta2)) * g);
      float p = Memory.f32(s.param + at);
      float down = (float) Math.sqrt(v * s.correction) + s.epsilon;
      Memory.f32(s.mOut + at, m);
      Memory.f32(s.vOut + at, v);
      Memory.f32(s.paramOut + at, Math.fma(p, s.decay, p) - (m * s.rate) / down);
    }
  }
}
