package dev.lockstep.device.cpu;

/// How a summed extent is cut into [dev.lockstep.graph.Blocks], as arithmetic on indices.
///
/// The extent is seen as `[outer, inner]`; the inner extent is cut into `count` blocks at `floor(j
/// * inner / count)`; block `j` takes, for each outer slice in ascending order, its range of that
///   slice in ascending order. `(1, 1)` is a plain ascending sum.
final class Cuts {
  private Cuts() {}

  static void check(int extent, int outer, int count) {
    if (outer < 1 || count < 1 || extent % outer != 0) {
      throw new IllegalArgumentException(
          "summed extent cannot be cut so: extent="
              + extent
              + ", outer="
              + outer
              + ", count="
              + count
              + " (both are at least 1 and outer divides the extent)");
    }
  }

  /// Where block `j` begins within a slice of `inner` elements.
  static int start(int j, int inner, int count) {
    return (int) ((long) j * inner / count);
  }
}
