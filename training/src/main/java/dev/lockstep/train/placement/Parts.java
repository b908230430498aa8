package dev.lockstep.train.placement;

import dev.lockstep.tensor.Shape;
import dev.lockstep.train.placement.Placement.Shard;

/// Where what one rank of an axis holds of a tensor lies in the whole.
public final class Parts {
  private Parts() {}

  /// A run of elements that lie side by side in both.
  @FunctionalInterface
  public interface Run {
    /// Receives one run.
    ///
    /// @param whole first element in the whole tensor
    /// @param part first element in the part
    void at(long whole, long part, long elements);
  }

  /// Visits some elements of a rank's part by where they lie in the whole tensor.
  ///
  /// @param shape extents of the whole tensor
  /// @param start first element of the part
  /// @param elements how many
  public static void within(
      Shape shape, Placement placement, AxisPlace place, long start, long elements, Run run) {
    runs(
        shape,
        placement,
        place,
        (whole, part, count) -> {
          long from = Math.max(start, part);
          long end = Math.min(start + elements, part + count);
          if (from < end) {
            run.at(whole + from - part, from, end - from);
          }
        });
  }

  private static void runs(Shape shape, Placement placement, AxisPlace place, Run run) {
    if (!(placement instanceof Shard shard)) {
      run.at(0, 0, shape.elements());
      return;
    }
    long before = shard.blocks().outer();
    for (int dim = 0; dim < shard.dim(); dim++) {
      before *= shape.dim(dim);
    }
    long after = 1;
    for (int dim = shard.dim() + 1; dim < shape.rank(); dim++) {
      after *= shape.dim(dim);
    }
    long inner = shape.dim(shard.dim()) / shard.blocks().outer();
    long length = inner / place.ranks() * after;
    for (long i = 0; i < before; i++) {
      run.at(i * inner * after + place.rank() * length, i * length, length);
    }
  }
}
