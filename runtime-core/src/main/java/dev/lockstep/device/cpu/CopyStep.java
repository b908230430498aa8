package dev.lockstep.device.cpu;

import java.util.Arrays;

/// Moves elements from one strided layout to another: transpose, broadcast, slice, a part of a
/// concatenation, and plain copies.
final class CopyStep extends Step {
  private static final long TILE_ELEMENTS = 8192;

  private final String label;
  private final int from;
  private final int to;
  private final int bytes;
  private final Strides strides;
  private final int tiles;
  private final long rowsPerTile;
  private final long inner;
  private final long rows;
  private long fromAt;
  private long toAt;

  /// Extents with the distance, in elements, to the next element of each dimension on either side,
  /// and where both begin.
  @SuppressWarnings("ArrayRecordComponent") // never compared
  record Strides(long[] extents, long[] from, long[] to, long fromStart, long toStart) {
    /// Row-major distances of a shape.
    static long[] rowMajor(long[] extents) {
      long[] strides = new long[extents.length];
      long step = 1;
      for (int dim = extents.length - 1; dim >= 0; dim--) {
        strides[dim] = step;
        step *= extents[dim];
      }
      return strides;
    }

    long elements() {
      return Arrays.stream(extents).reduce(1, (a, b) -> a * b);
    }

    /// A long innermost dimension cut into rows, so that threads share it.
    Strides cut() {
      int last = extents.length - 1;
      if (extents[last] <= TILE_ELEMENTS || extents[last] % TILE_ELEMENTS != 0) {
        return this;
      }
      long[] e = Arrays.copyOf(extents, last + 2);
      long[] f = Arrays.copyOf(from, last + 2);
      long[] t = Arrays.copyOf(to, last + 2);
      e[last] = extents[last] / TILE_ELEMENTS;
      f[last] = from[last] * TILE_ELEMENTS;
      t[last] = to[last] * TILE_ELEMENTS;
      e[last + 1] = TILE_ELEMENTS;
      f[last + 1] = from[last];
      t[last + 1] = to[last];
      return new Strides(e, f, t, fromStart, toStart);
    }

    /// The same elements in the same order with as few dimensions as possible.
    Strides merged() {
      long[] e = new long[extents.length + 1];
      long[] f = new long[e.length];
      long[] t = new long[e.length];
      int last = 0;
      e[0] = 1;
      for (int dim = 0; dim < extents.length; dim++) {
        if (extents[dim] == 1) {
          continue;
        }
        boolean joins =
            e[last] == 1
                || (f[last] == from[dim] * extents[dim] && t[last] == to[dim] * extents[dim]);
        last = joins ? last : last + 1;
        e[last] = joins && e[last] != 1 ? e[last] * extents[dim] : extents[dim];
        f[last] = from[dim];
        t[last] = to[dim];
      }
      int rank = last + 1;
      return new Strides(
          Arrays.copyOf(e, rank),
          Arrays.copyOf(f, rank),
          Arrays.copyOf(t, rank),
          fromStart,
          toStart);
    }
  }

  CopyStep(String label, int from, int to, int bytes, Strides layout) {
    this.label = label;
    this.from = from;
    this.to = to;
    this.bytes = bytes;
    this.strides = layout.merged().cut();
    long elements = strides.elements();
    inner = strides.extents[strides.extents.length - 1];
    rows = elements == 0 ? 0 : elements / inner;
    rowsPerTile = Math.max(1, TILE_ELEMENTS / Math.max(1, inner));
    tiles = Extents.of(Math.ceilDiv(rows, rowsPerTile));
  }

  /// A copy of `elements` contiguous elements.
  static CopyStep plain(int from, int to, int bytes, long elements) {
    long[] extents = {elements};
    long[] strides = {1};
    return new CopyStep("Copy", from, to, bytes, new Strides(extents, strides, strides, 0, 0));
  }

  @Override
  void execute() {
    fromAt = at(from) + strides.fromStart * bytes;
    toAt = at(to) + strides.toStart * bytes;
    parallel(tiles);
  }

  @Override
  public void run(int worker, int first, int end) {
    int last = strides.extents.length - 1;
    for (long row = first * rowsPerTile; row < Math.min(rows, end * rowsPerTile); row++) {
      long rest = row;
      long source = fromAt;
      long target = toAt;
      for (int dim = last - 1; dim >= 0; dim--) {
        long index = rest % strides.extents[dim];
        rest /= strides.extents[dim];
        source += index * strides.from[dim] * bytes;
        target += index * strides.to[dim] * bytes;
      }
      row(source, target, strides.from[last] * bytes, strides.to[last] * bytes);
    }
  }

  private void row(long source, long target, long sourceStep, long targetStep) {
    if (sourceStep == bytes && targetStep == bytes) {
      Memory.copy(source, target, inner * bytes);
      return;
    }
    for (long i = 0; i < inner; i++) {
      Numbers.move(bytes, source + i * sourceStep, target + i * targetStep);
    }
  }

  @Override
  String label() {
    return label;
  }
}
