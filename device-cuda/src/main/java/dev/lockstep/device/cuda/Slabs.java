package dev.lockstep.device.cuda;

/// How much of a product's result stands in working memory at once where it is made there and cut
/// to its place.
final class Slabs {
  /// Bytes of a slab, if that is not too few rows.
  private static final long BYTES = 32L << 20;

  /// What the rows of a slab are a multiple of: enough to keep a GPU busy.
  private static final int ROWS = 1024;

  private Slabs() {}

  /// Returns the rows of a slab.
  ///
  /// @param rows of the result
  /// @param rowBytes of one of them
  static int rows(int rows, long rowBytes) {
    return (int) Math.min(rows, Math.max(ROWS, BYTES / rowBytes / ROWS * ROWS));
  }

  /// Returns how many results of a batch are one slab; 1 too if one alone is larger.
  ///
  /// @param bytes of a result
  static int results(int batch, long bytes) {
    return Math.clamp(BYTES / bytes, 1, batch);
  }
}
