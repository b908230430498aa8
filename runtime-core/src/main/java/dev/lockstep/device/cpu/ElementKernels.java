package dev.lockstep.device.cpu;

/// Element-wise work on contiguous float32. Inputs and output may be the same memory, never shifted
/// against each other.
interface ElementKernels {
  /// Functions of one number.
  enum Unary {
    NEG,
    EXP,
    LOG,
    TANH,
    SQRT,
    RSQRT,
    GELU
  }

  /// Functions of two numbers; `GELU_GRAD` is `(dy, x)`.
  enum Binary {
    ADD,
    SUB,
    MUL,
    DIV,
    MAX,
    MIN,
    GELU_GRAD
  }

  void unary(Unary op, long x, long out, int n);

  void binary(Binary op, long a, long b, long out, int n);

  void scale(long x, float by, long out, int n);

  void fill(float value, long out, int n);

  /// Updates elements `[from, from + n)`.
  void adamW(AdamWUpdate step, long from, int n);
}
