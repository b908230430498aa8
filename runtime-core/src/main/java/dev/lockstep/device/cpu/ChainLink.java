package dev.lockstep.device.cpu;

import dev.lockstep.device.cpu.ElementKernels.Binary;
import dev.lockstep.device.cpu.ElementKernels.Unary;
import dev.lockstep.tensor.DType;

/// One op of a [Chain]: from at most three slots to one or two; -1 is none.
abstract class ChainLink {
  final int a;
  final int b;
  final int c;
  final int out;
  final int second;

  private ChainLink(int a, int b, int c, int out, int second) {
    this.a = a;
    this.b = b;
    this.c = c;
    this.out = out;
    this.second = second;
  }

  /// Takes this run's scalars.
  void at(Frame frame) {}

  /// Does `n` elements, the first of which is number `first`.
  abstract void run(long a, long b, long c, long out, long second, long first, int n);

  /// Whether the result depends on an element's number, so that rows are done one by one.
  boolean countsElements() {
    return false;
  }

  abstract String label();

  /// A function of one number.
  static final class One extends ChainLink {
    private final ElementKernels kernels;
    private final Unary op;

    One(ElementKernels kernels, Unary op, int a, int out) {
      super(a, -1, -1, out, -1);
      this.kernels = kernels;
      this.op = op;
    }

    @Override
    void run(long a, long b, long c, long out, long second, long first, int n) {
      kernels.unary(op, a, out, n);
    }

    @Override
    String label() {
      return op.name();
    }
  }

  /// A function of two numbers.
  static final class Two extends ChainLink {
    private final ElementKernels kernels;
    private final Binary op;

    Two(ElementKernels kernels, Binary op, int a, int b, int out) {
      super(a, b, -1, out, -1);
      this.kernels = kernels;
      this.op = op;
    }

    @Override
    void run(long a, long b, long c, long out, long second, long first, int n) {
      kernels.binary(op, a, b, out, n);
    }

    @Override
    String label() {
      return op.name();
    }
  }

  /// The gradients of SwiGLU.
  static final class Gate extends ChainLink {
    private final ElementKernels kernels;

    Gate(ElementKernels kernels, int dy, int gate, int up, int dgate, int dup) {
      super(dy, gate, up, dgate, dup);
      this.kernels = kernels;
    }

    @Override
    void run(long a, long b, long c, long out, long second, long first, int n) {
      kernels.swiGluGrad(a, b, c, out, second, n);
    }

    @Override
    String label() {
      return "SWIGLU_GRAD";
    }
  }

  /// A conversion that [CastKernels#casts].
  static final class Cast extends ChainLink {
    private final CastKernels kernels;
    private final DType from;
    private final DType to;

    Cast(CastKernels kernels, DType from, DType to, int a, int out) {
      super(a, -1, -1, out, -1);
      this.kernels = kernels;
      this.from = from;
      this.to = to;
    }

    @Override
    void run(long a, long b, long c, long out, long second, long first, int n) {
      kernels.cast(from, to, a, out, n);
    }

    @Override
    String label() {
      return to.name();
    }
  }

  /// Dropout; `second` is room for its random numbers.
  static final class Drop extends ChainLink {
    private final RandomKernels kernels;
    private final Counters counters;
    private final int step;
    private final int lane;

    /// `step` and `lane` are values by id.
    Drop(RandomKernels kernels, Counters counters, int step, int lane, int a, int out, int room) {
      super(a, -1, -1, out, room);
      this.kernels = kernels;
      this.counters = counters;
      this.step = step;
      this.lane = lane;
    }

    @Override
    void at(Frame frame) {
      counters.at(Memory.i32(frame.at(step)), Memory.i32(frame.at(lane)));
    }

    @Override
    boolean countsElements() {
      return true;
    }

    @Override
    void run(long a, long b, long c, long out, long second, long first, int n) {
      counters.drop(kernels, first, n, a, out, second);
    }

    @Override
    String label() {
      return "DROPOUT";
    }
  }

  /// The same number everywhere: a constant, or a scalar in memory.
  static final class Fill extends ChainLink {
    private final ElementKernels kernels;
    private final int scalar;
    private float value;

    /// `scalar` is a value by id, or -1 where `constant` is meant.
    Fill(ElementKernels kernels, int scalar, float constant, int out) {
      super(-1, -1, -1, out, -1);
      this.kernels = kernels;
      this.scalar = scalar;
      this.value = constant;
    }

    @Override
    void at(Frame frame) {
      if (scalar >= 0) {
        value = Memory.f32(frame.at(scalar));
      }
    }

    @Override
    void run(long a, long b, long c, long out, long second, long first, int n) {
      kernels.fill(value, out, n);
    }

    @Override
    String label() {
      return "FILL";
    }
  }
}
