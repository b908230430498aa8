package dev.lockstep.device.cpu;

import dev.lockstep.tensor.DType;

/// What no vector kernel is worth: constants, indices, comparisons, choices, conversions and whole
/// numbers, element by element.
abstract class ScalarStep extends Step {
  private final long elements;

  ScalarStep(long elements) {
    this.elements = elements;
  }

  @Override
  void execute() {
    parallel(ElementStep.tiles(elements));
  }

  @Override
  public void run(int worker, int from, int to) {
    elements(ElementStep.start(from, elements), ElementStep.start(to, elements));
  }

  /// Does elements `[from, to)`.
  abstract void elements(long from, long to);

  /// Every element the same bits.
  static final class Fill extends ScalarStep {
    private final DType dtype;
    private final double value;
    private final int out;

    Fill(DType dtype, double value, int out, long elements) {
      super(elements);
      this.dtype = dtype;
      this.value = value;
      this.out = out;
    }

    @Override
    void elements(long from, long to) {
      long at = at(out);
      if (dtype == DType.F32) {
        for (long i = from; i < to; i += ElementStep.TILE) {
          int n = (int) Math.min(ElementStep.TILE, to - i);
          kernels().elements().fill((float) value, at + i * 4, n);
        }
        return;
      }
      for (long i = from; i < to; i++) {
        Numbers.store(dtype, at, i, value);
      }
    }

    @Override
    String label() {
      return "Fill " + value;
    }
  }

  /// Every element its index along a dimension.
  static final class Index extends ScalarStep {
    private final DType dtype;
    private final long extent;
    private final long step;
    private final int out;

    /// `step` is the product of the extents after the dimension.
    Index(DType dtype, long extent, long step, int out, long elements) {
      super(elements);
      this.dtype = dtype;
      this.extent = extent;
      this.step = step;
      this.out = out;
    }

    @Override
    void elements(long from, long to) {
      long at = at(out);
      for (long i = from; i < to; i++) {
        Numbers.storeWhole(dtype, at, i, i / step % extent);
      }
    }

    @Override
    String label() {
      return "Iota";
    }
  }

  /// `a < b` or `a == b`.
  static final class Compare extends ScalarStep {
    private final DType dtype;
    private final boolean less;
    private final int a;
    private final int b;
    private final int out;

    Compare(DType dtype, boolean less, int a, int b, int out, long elements) {
      super(elements);
      this.dtype = dtype;
      this.less = less;
      this.a = a;
      this.b = b;
      this.out = out;
    }

    @Override
    void elements(long from, long to) {
      long aAt = at(a);
      long bAt = at(b);
      long outAt = at(out);
      for (long i = from; i < to; i++) {
        boolean holds;
        if (dtype.isFloat()) {
          double x = Numbers.load(dtype, aAt, i);
          double y = Numbers.load(dtype, bAt, i);
          holds = less ? x < y : x == y;
        } else {
          long x = Numbers.loadWhole(dtype, aAt, i);
          long y = Numbers.loadWhole(dtype, bAt, i);
          holds = less ? x < y : x == y;
        }
        Memory.i8(outAt + i, (byte) (holds ? 1 : 0));
      }
    }

    @Override
    String label() {
      return less ? "Less" : "Equal";
    }
  }

  /// `condition ? a : b`, of any type.
  static final class Choose extends ScalarStep {
    private final int bytes;
    private final int condition;
    private final int a;
    private final int b;
    private final int out;

    Choose(int bytes, int condition, int a, int b, int out, long elements) {
      super(elements);
      this.bytes = bytes;
      this.condition = condition;
      this.a = a;
      this.b = b;
      this.out = out;
    }

    @Override
    void elements(long from, long to) {
      long conditionAt = at(condition);
      long aAt = at(a);
      long bAt = at(b);
      long outAt = at(out);
      if (bytes == Integer.BYTES) {
        words(conditionAt, aAt, bAt, outAt, from, to);
        return;
      }
      for (long i = from; i < to; i++) {
        long chosen = Memory.i8(conditionAt + i) != 0 ? aAt : bAt;
        Numbers.move(bytes, chosen + i * bytes, outAt + i * bytes);
      }
    }

    /// By arithmetic on bits: written as a choice, JDK 25's compiler makes it a vector blend and
    /// may end the process when it spills the mask register ("Unimplemented" in MachSpillCopyNode).
    private static void words(long condition, long a, long b, long out, long from, long to) {
      for (long i = from; i < to; i++) {
        int flag = Memory.i8(condition + i);
        int mask = (flag | -flag) >> 31;
        int chosen = (Memory.i32(a + i * 4) & mask) | (Memory.i32(b + i * 4) & ~mask);
        Memory.i32(out + i * 4, chosen);
      }
    }

    @Override
    String label() {
      return "Select";
    }
  }

  /// The same numbers in another type.
  static final class Cast extends ScalarStep {
    private final DType from;
    private final DType to;
    private final int x;
    private final int out;

    Cast(DType from, DType to, int x, int out, long elements) {
      super(elements);
      this.from = from;
      this.to = to;
      this.x = x;
      this.out = out;
    }

    @Override
    void elements(long first, long end) {
      long xAt = at(x);
      long outAt = at(out);
      if (CastKernels.casts(from, to)) {
        for (long i = first; i < end; i += ElementStep.TILE) {
          int n = (int) Math.min(ElementStep.TILE, end - i);
          kernels().casts().cast(from, to, xAt + i * from.bytes(), outAt + i * to.bytes(), n);
        }
      } else if (from.isFloat()) {
        for (long i = first; i < end; i++) {
          Numbers.store(to, outAt, i, Numbers.load(from, xAt, i));
        }
      } else {
        for (long i = first; i < end; i++) {
          Numbers.storeWhole(to, outAt, i, Numbers.loadWhole(from, xAt, i));
        }
      }
    }

    @Override
    String label() {
      return "Convert " + from + " to " + to;
    }
  }

  /// Arithmetic of whole numbers; operand -1 is 0.
  static final class Whole extends ScalarStep {
    private final DType dtype;
    private final ElementKernels.Binary op;
    private final int a;
    private final int b;
    private final int out;

    Whole(DType dtype, ElementKernels.Binary op, int a, int b, int out, long elements) {
      super(elements);
      this.dtype = dtype;
      this.op = op;
      this.a = a;
      this.b = b;
      this.out = out;
    }

    @Override
    void elements(long from, long to) {
      long aAt = a < 0 ? 0 : at(a);
      long bAt = at(b);
      long outAt = at(out);
      for (long i = from; i < to; i++) {
        long x = a < 0 ? 0 : Numbers.loadWhole(dtype, aAt, i);
        long y = Numbers.loadWhole(dtype, bAt, i);
        Numbers.storeWhole(dtype, outAt, i, Numbers.of(op, x, y));
      }
    }

    @Override
    String label() {
      return op + " " + dtype;
    }
  }
}
