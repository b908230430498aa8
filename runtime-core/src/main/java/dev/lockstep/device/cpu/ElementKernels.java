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
    GELU,
    SILU
  }

  /// Functions of two numbers; the gradients are `(dy, x)`, `SWIGLU` is `(gate, up)`.
  enum Binary {
    ADD,
    SUB,
    MUL,
    DIV,
    MAX,
    MIN,
    GELU_GRAD,
    SILU_GRAD,
    SWIGLU
  }

  void unary(Unary op, long x, long out, int n);

  void binary(Binary op, long a, long b, long out, int n);

  /// The gradients of `silu(gate) · up`.
  void swiGluGrad(long dy, long gate, long up, long dgate, long dup, int n);

  /// Turns `heads` heads of twice `half` elements by the angles of one position; `angles` holds
  /// `half` cosines, then `half` sines. See [Rotation].
  void rotate(long x, long out, int heads, int half, long angles);

  void scale(long x, float by, long out, int n);

  void fill(float value, long out, int n);

  /// Updates elements `[from, from + n)`.
  void adamW(AdamWUpdate step, long from, int n);
}
