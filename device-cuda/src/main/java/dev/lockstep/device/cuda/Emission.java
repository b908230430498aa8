package dev.lockstep.device.cuda;

import dev.lockstep.graph.Value;
import java.util.ArrayList;
import java.util.List;

/// Collects the actions of one step and the working memory that they take.
final class Emission {
  private static final long ALIGNMENT = 256;
  private static final int ELEMENT_THREADS = 256;
  private static final int ELEMENTS_PER_BLOCK = 1024;
  private static final int ELEMENTS_PER_LONG_ROW = 4096;
  private static final int MOST_COLUMN_BLOCKS = 64;

  /// Most blocks of a grid along y or z.
  static final int MOST_GRID = 65_535;

  private static final int BLOCKS_PER_MULTIPROCESSOR = 16;

  private final int multiprocessors;
  private final List<Action> actions = new ArrayList<>();
  private long scratchBytes;

  /// Starts a step.
  ///
  /// @param multiprocessors of the GPU
  Emission(int multiprocessors) {
    this.multiprocessors = multiprocessors;
  }

  void add(Action action) {
    actions.add(action);
  }

  /// Adds a kernel that walks over `n` elements, if there are any.
  void elements(LaunchBuilder launch, long n) {
    if (n > 0) {
      add(launch.grid(blocks(n), ELEMENT_THREADS));
    }
  }

  private int blocks(long n) {
    long most = (long) BLOCKS_PER_MULTIPROCESSOR * multiprocessors;
    return (int) Math.clamp(Math.ceilDiv(n, ELEMENTS_PER_BLOCK), 1, most);
  }

  /// Fills `n` elements of 1, 2, 4 or 8 bytes with a pattern.
  void fill(Ref to, int itemBytes, long bits, long n) {
    elements(LaunchBuilder.of("fill.cu", "fill_" + itemBytes).at(to).wide(bits).wide(n), n);
  }

  /// Returns how many thread blocks share the columns of a row, of many rows.
  static int columnBlocks(int columns) {
    return Math.clamp(columns / ELEMENTS_PER_LONG_ROW, 1, MOST_COLUMN_BLOCKS);
  }

  /// Copies a matrix of 16-bit elements into the corner of a larger one, whose rest becomes zero.
  void padRows(Ref from, Ref to, int rows, int columns, int toRows, int toColumns) {
    add(
        LaunchBuilder.of("rows.cu", "pad_rows_2")
            .at(from)
            .at(to)
            .word(rows)
            .word(columns)
            .word(toRows)
            .word(toColumns)
            .grid(columnBlocks(toColumns), Math.min(toRows, MOST_GRID), 1, ELEMENT_THREADS, 0));
  }

  /// Copies the corner of a matrix of 2 or 4 bytes an element, whose rows are `fromColumns` long.
  void cutRows(int itemBytes, Ref from, Ref to, int rows, int columns, int fromColumns) {
    add(
        LaunchBuilder.of("rows.cu", "cut_rows_" + itemBytes)
            .at(from)
            .at(to)
            .word(rows)
            .word(columns)
            .word(fromColumns)
            .grid(columnBlocks(columns), Math.min(rows, MOST_GRID), 1, ELEMENT_THREADS, 0));
  }

  /// Adds a row of `n` float32 to each row of a matrix of `size` elements, in place.
  void addRow(Ref matrix, Ref row, long size, int n) {
    elements(
        LaunchBuilder.of("elements.cu", "add_row_f32")
            .at(matrix)
            .at(row)
            .at(Ref.NOTHING)
            .at(matrix)
            .wide(size)
            .word(n),
        size);
  }

  /// Joins the partial sums `[leaves, rows, width]` by the sum tree into `out`, whose rows are
  /// `outStride` apart.
  void join(Ref parts, Ref out, long rows, int width, long outStride, int leaves) {
    elements(
        LaunchBuilder.of("join.cu", "join_parts_f32")
            .at(parts)
            .at(out)
            .wide(rows)
            .word(width)
            .wide(outStride)
            .word(leaves),
        rows * width);
  }

  /// Joins any number of leaves by the sum tree into one number. Overwrites the leaves.
  void joinLeaves(Ref leaves, Ref out, int count) {
    add(
        LaunchBuilder.of("join.cu", "join_leaves_f32")
            .at(leaves)
            .at(out)
            .word(count)
            .grid(1, ELEMENT_THREADS));
  }

  /// Takes working memory for this step.
  Ref scratch(long bytes) {
    Ref ref = Ref.scratch(scratchBytes);
    scratchBytes += (bytes + ALIGNMENT - 1) & -ALIGNMENT;
    return ref;
  }

  List<Action> actions() {
    return List.copyOf(actions);
  }

  long scratchBytes() {
    return scratchBytes;
  }

  static Ref at(Value value) {
    return Ref.value(value.id());
  }
}
