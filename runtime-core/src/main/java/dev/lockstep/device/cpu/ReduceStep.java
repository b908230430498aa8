package dev.lockstep.device.cpu;

import dev.lockstep.graph.Blocks;
import dev.lockstep.tensor.DType;

/// Sums and greatest elements along rows, and sums down columns, of a contiguous matrix. Other
/// layouts are brought into this one by a [CopyStep] before.
abstract class ReduceStep extends Step {
  final int x;
  final int out;

  ReduceStep(int x, int out) {
    this.x = x;
    this.out = out;
  }

  /// Tiles of as many rows of `extent` elements as make an element-wise one.
  private static Tiles rows(int rows, int extent) {
    return new Tiles(rows, Math.max(1, ElementStep.TILE / Math.max(1, extent)));
  }

  /// Tiles of columns: whole cache lines, and whole vectors of every width.
  static Tiles columns(int width) {
    return new Tiles(width, 64);
  }

  /// Sums along rows.
  static final class RowSum extends ReduceStep {
    private final Tiles rows;
    private final int extent;
    private final int outer;
    private final int blocks;

    RowSum(int x, int out, int rows, int extent, Blocks blocks) {
      super(x, out);
      this.rows = rows(rows, extent);
      this.extent = extent;
      this.outer = Extents.outer(blocks);
      this.blocks = blocks.count();
      Cuts.check(extent, outer, this.blocks);
    }

    @Override
    long workerBytes() {
      return BlockSums.sumBytes(extent, outer, blocks);
    }

    @Override
    void execute() {
      parallel(rows.count());
    }

    @Override
    public void run(int worker, int from, int to) {
      int end = rows.start(to);
      long scratch = frame().scratch(worker);
      for (int r = rows.start(from); r < end; r++) {
        long row = at(x) + (long) r * extent * 4;
        float sum = BlockSums.sum(kernels().rows(), row, extent, outer, blocks, scratch);
        Memory.f32(at(out) + r * 4L, sum);
      }
    }

    @Override
    String label() {
      return "RowSum rows=%d extent=%d blocks=%dx%d"
          .formatted(rows.extent(), extent, outer, blocks);
    }
  }

  /// The greatest along rows.
  static final class RowMax extends ReduceStep {
    private final Tiles rows;
    private final int extent;

    RowMax(int x, int out, int rows, int extent) {
      super(x, out);
      this.rows = rows(rows, extent);
      this.extent = extent;
    }

    @Override
    long workerBytes() {
      return RowKernels.PARTIAL_BYTES;
    }

    @Override
    void execute() {
      parallel(rows.count());
    }

    @Override
    public void run(int worker, int from, int to) {
      int end = rows.start(to);
      long scratch = frame().scratch(worker);
      for (int r = rows.start(from); r < end; r++) {
        float max = kernels().rows().max(at(x) + (long) r * extent * 4, extent, scratch);
        Memory.f32(at(out) + r * 4L, max);
      }
    }

    @Override
    String label() {
      return "RowMax rows=%d extent=%d".formatted(rows.extent(), extent);
    }
  }

  /// Sums down columns.
  static final class ColumnSum extends ReduceStep {
    private final ColumnSums call;
    private final Tiles columns;

    ColumnSum(int x, int out, int rows, int width, Blocks blocks) {
      super(x, out);
      call = new ColumnSums(rows, width, Extents.outer(blocks), blocks.count());
      columns = columns(width);
    }

    @Override
    long workerBytes() {
      return RowKernels.columnScratchBytes(call.blocks);
    }

    @Override
    void execute() {
      call.x = at(x);
      call.out = at(out);
      parallel(columns.count());
    }

    @Override
    public void run(int worker, int from, int to) {
      long scratch = frame().scratch(worker);
      kernels().rows().columnSums(call, columns.start(from), columns.start(to), scratch);
    }

    @Override
    String label() {
      return "ColumnSum rows=%d width=%d blocks=%dx%d"
          .formatted(call.rows, call.width, call.outer, call.blocks);
    }
  }

  /// Sums or the greatest of whole numbers along rows; their order does not matter.
  static final class WholeRows extends ReduceStep {
    private final DType dtype;
    private final ElementKernels.Binary op;
    private final Tiles rows;
    private final int extent;

    /// `op` is `ADD` or `MAX`.
    WholeRows(DType dtype, ElementKernels.Binary op, int x, int out, int rows, int extent) {
      super(x, out);
      this.dtype = dtype;
      this.op = op;
      this.rows = rows(rows, extent);
      this.extent = extent;
    }

    @Override
    void execute() {
      parallel(rows.count());
    }

    @Override
    public void run(int worker, int from, int to) {
      int end = rows.start(to);
      for (int r = rows.start(from); r < end; r++) {
        long first = (long) r * extent;
        long result = op == ElementKernels.Binary.ADD ? 0 : Numbers.least(dtype);
        for (long i = first; i < first + extent; i++) {
          result = Numbers.of(op, result, Numbers.loadWhole(dtype, at(x), i));
        }
        Numbers.storeWhole(dtype, at(out), r, result);
      }
    }

    @Override
    String label() {
      return "Row%s %s rows=%d extent=%d".formatted(op, dtype, rows.extent(), extent);
    }
  }
}
