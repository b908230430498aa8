package dev.lockstep.device.cpu;

/// Gathers rows of a table, and adds rows into a table in the order of their ids.
///
/// Of the updates that name one row, those in one block of ids are added ascending, from +0; the
/// sums of all blocks, empty ones too, are joined by [Tree].
final class Embedding {
  final int ids;
  final int rows;
  final int width;
  final int outer;
  final int blocks;
  long idsAt;
  long updates;
  long table;

  /// Room for the lists: per row its first update, per update the next one of its row; 4 bytes
  /// each.
  long lists;

  Embedding(int ids, int rows, int width, int outer, int blocks) {
    Cuts.check(ids, outer, blocks);
    this.ids = ids;
    this.rows = rows;
    this.width = width;
    this.outer = outer;
    this.blocks = blocks;
  }

  long listBytes() {
    return 4L * (rows + (long) ids);
  }

  /// Room that a thread needs to add.
  long scratchBytes() {
    return (Tree.depth(blocks) + 1) * 4L * width;
  }

  /// Copies the rows of `rowBytes` bytes that ids `[from, to)` name from `table` to `updates`.
  ///
  /// @throws IndexOutOfBoundsException if an id lies outside the table
  void gather(int from, int to, long rowBytes) {
    for (int i = from; i < to; i++) {
      long row = row(i);
      Memory.copy(table + row * rowBytes, updates + i * rowBytes, rowBytes);
    }
  }

  private int row(int i) {
    int id = Memory.i32(idsAt + i * 4L);
    if (id < 0 || id >= rows) {
      throw new IndexOutOfBoundsException(
          "id lies outside the table: id=" + id + ", position=" + i + ", rows=" + rows);
    }
    return id;
  }

  /// Lists the updates of each row in the order in which they are added: block by block, then outer
  /// slice by slice.
  ///
  /// @throws IndexOutOfBoundsException if an id lies outside the table
  void list() {
    for (int row = 0; row < rows; row++) {
      Memory.i32(lists + row * 4L, -1);
    }
    int inner = ids / outer;
    for (int j = blocks - 1; j >= 0; j--) {
      for (int o = outer - 1; o >= 0; o--) {
        int lo = o * inner + Cuts.start(j, inner, blocks);
        for (int i = o * inner + Cuts.start(j + 1, inner, blocks) - 1; i >= lo; i--) {
          long head = lists + row(i) * 4L;
          Memory.i32(next(i), Memory.i32(head));
          Memory.i32(head, i);
        }
      }
    }
  }

  private long next(int i) {
    return lists + ((long) rows + i) * 4;
  }

  /// Sums rows `[from, to)` of the table; `list` has run.
  void add(ElementKernels elements, int from, int to, long scratch) {
    for (int row = from; row < to; row++) {
      long sum = table + (long) row * width * 4;
      int first = Memory.i32(lists + row * 4L);
      if (first < 0) {
        elements.fill(0f, sum, width);
      } else {
        addRow(elements, first, scratch);
        Memory.copy(scratch, sum, width * 4L);
      }
    }
  }

  private void addRow(ElementKernels elements, int first, long scratch) {
    long bytes = width * 4L;
    long top = scratch;
    int i = first;
    for (int j = 0; j < blocks; j++) {
      elements.fill(0f, top, width);
      while (i >= 0 && inBlock(i, j)) {
        elements.binary(ElementKernels.Binary.ADD, top, updates + (long) i * bytes, top, width);
        i = Memory.i32(next(i));
      }
      for (int joins = Tree.joinsAfter(j); joins > 0; joins--) {
        top -= bytes;
        elements.binary(ElementKernels.Binary.ADD, top, top + bytes, top, width);
      }
      top += bytes;
    }
    for (top -= bytes; top > scratch; ) {
      top -= bytes;
      elements.binary(ElementKernels.Binary.ADD, top, top + bytes, top, width);
    }
  }

  private boolean inBlock(int i, int j) {
    int inner = ids / outer;
    return i % inner < Cuts.start(j + 1, inner, blocks);
  }
}
