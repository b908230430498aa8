package dev.lockstep.device.cuda;

/// Sums down columns by `wide_columns.cu`, in an order that rows and width alone decide: ranges of
/// rows, whose sums are summed in the same way. For devices whose products have an order of their
/// own.
final class WideColumns {
  private static final int COLUMNS = 128;
  private static final int COLUMNS_PER_THREAD = 4;
  private static final int THREADS = 256;
  private static final int ROWS_PER_RANGE = 128;
  private static final int MOST_RANGES = 128;

  private final Emission emit;
  private final int rows;
  private final int width;
  private final int ranges;

  /// @param rows of the matrices
  /// @param width of the matrices, which [#fits]
  WideColumns(Emission emit, int rows, int width) {
    this.emit = emit;
    this.rows = rows;
    this.width = width;
    this.ranges = Math.clamp(rows / ROWS_PER_RANGE, 1, MOST_RANGES);
  }

  /// Whether matrices are of a width that these kernels take.
  static boolean fits(int width) {
    return width % COLUMNS_PER_THREAD == 0;
  }

  /// Returns where a result's parts go: to the result itself if there is one.
  Ref parts(Ref result) {
    return ranges == 1 ? result : emit.scratch(4L * ranges * width);
  }

  /// Appends the launch that makes parts of all results.
  void launch(LaunchBuilder launch) {
    emit.add(
        launch.word(rows).word(width).grid(Math.ceilDiv(width, COLUMNS), ranges, 1, THREADS, 0));
  }

  /// Appends the joining of a result's parts.
  void join(Ref parts, Ref result) {
    if (ranges > 1) {
      emit.add(
          LaunchBuilder.of("wide_columns.cu", "wide_column_sum_f32")
              .at(parts)
              .at(result)
              .word(ranges)
              .word(width)
              .grid(Math.ceilDiv(width, COLUMNS), 1, 1, THREADS, 0));
    }
  }
}
