package dev.lockstep.device.cpu;

import dev.lockstep.device.cpu.ElementKernels.Binary;
import dev.lockstep.device.cpu.ElementKernels.Unary;
import org.jspecify.annotations.Nullable;

/// An element-wise function of one or two float32 values.
final class ElementStep extends Step {
  static final int TILE = 8192;

  private final @Nullable Unary unary;
  private final @Nullable Binary binary;
  private final int a;
  private final int b;
  private final int out;
  private final long elements;
  private long aAt;
  private long bAt;
  private long outAt;

  private ElementStep(
      @Nullable Unary unary, @Nullable Binary binary, int a, int b, int out, long elements) {
    this.unary = unary;
    this.binary = binary;
    this.a = a;
    this.b = b;
    this.out = out;
    this.elements = elements;
  }

  static ElementStep of(Unary op, int x, int out, long elements) {
    return new ElementStep(op, null, x, x, out, elements);
  }

  static ElementStep of(Binary op, int a, int b, int out, long elements) {
    return new ElementStep(null, op, a, b, out, elements);
  }

  /// How many tiles cover `elements`.
  static int tiles(long elements) {
    return Extents.of(Math.ceilDiv(elements, TILE));
  }

  /// Where tile `tile` begins.
  static long start(int tile, long elements) {
    return Math.min(elements, (long) tile * TILE);
  }

  @Override
  void execute() {
    aAt = at(a);
    bAt = at(b);
    outAt = at(out);
    parallel(tiles(elements));
  }

  @Override
  public void run(int worker, int from, int to) {
    ElementKernels kernels = kernels().elements();
    for (int tile = from; tile < to; tile++) {
      long start = start(tile, elements);
      int n = (int) (start(tile + 1, elements) - start);
      if (unary != null) {
        kernels.unary(unary, aAt + start * 4, outAt + start * 4, n);
      } else if (binary != null) {
        kernels.binary(binary, aAt + start * 4, bAt + start * 4, outAt + start * 4, n);
      }
    }
  }

  @Override
  String label() {
    return "Element " + (unary != null ? unary : binary);
  }
}
