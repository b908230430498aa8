package dev.lockstep.device.cuda;

import dev.lockstep.graph.Blocks;
import dev.lockstep.tensor.Shape;

/// Extents as the `int` that kernels take.
final class Sizes {
  private Sizes() {}

  /// @throws IllegalArgumentException if it does not fit
  static int of(long extent) {
    if (extent > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          "extent is too large for the CUDA device: extent=%d, largest=%d"
              .formatted(extent, Integer.MAX_VALUE));
    }
    return (int) extent;
  }

  /// The product of dimensions `[from, to)`.
  static long product(Shape shape, int from, int to) {
    long product = 1;
    for (int dim = from; dim < to; dim++) {
      product = Math.multiplyExact(product, shape.dim(dim));
    }
    return product;
  }

  /// All dimensions but the last together.
  static int rows(Shape shape) {
    return of(product(shape, 0, shape.rank() - 1));
  }

  static int last(Shape shape) {
    return of(shape.dim(-1));
  }

  static int outer(Blocks blocks) {
    return of(blocks.outer());
  }
}
