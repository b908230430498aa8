package dev.lockstep.device.cuda;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// Reductions along rows, where the innermost dimension is among the reduced ones, or down columns.
/// Dimensions that stand in the way are transposed first.
final class ReduceLowering {
  static final int ROW_THREADS = 128;

  /// Columns that a thread block sums: `LS_COLUMNS` of `columns.cuh`.
  static final int COLUMNS = 8;

  /// Rows from which on a further block of rows is worth its joining, and blocks at most.
  private static final int ROWS_PER_BLOCK = 128;

  private static final int MOST_ROW_BLOCKS = 64;

  private static final int TEAMS = 8;
  private static final int LONG_THREADS = 256;
  private static final int LONG_EXTENT = 4096;
  private static final int MANY_ROWS = 2048;
  private static final int WHOLE_ADD = 0;
  private static final int WHOLE_MAX = 4;

  private final Emission emit;
  private final Value x;
  private final Value out;
  private final Shape shape;
  private final boolean isExact;

  /// @param shape of what is reduced
  /// @param x its elements: of that shape, or what it was widened from
  /// @param isExact whether sums keep the CPU's order
  ReduceLowering(Emission emit, Shape shape, Value x, Value out, boolean isExact) {
    this.emit = emit;
    this.x = x;
    this.out = out;
    this.shape = shape;
    this.isExact = isExact;
  }

  /// Whether a sum goes down columns.
  static boolean areColumns(Value x, List<Integer> dims) {
    return !x.type().dtype().isInteger()
        && !dims.isEmpty()
        && !dims.contains(x.type().shape().rank() - 1);
  }

  /// Returns the blocks in which a sum down columns of `rows` rows is made: its own, or on a device
  /// with an order of its own as many as keep a GPU busy, by the number of rows alone.
  static Blocks columnBlocks(Blocks blocks, long rows, boolean isExact) {
    long inOrder = Math.clamp(rows / ROWS_PER_BLOCK, 1, MOST_ROW_BLOCKS);
    return isExact ? blocks : new Blocks(1, (int) inOrder);
  }

  /// Blocks of a kernel in which a team of 16 threads takes a row.
  static int rowGrid(int rows) {
    return Math.ceilDiv(rows, TEAMS);
  }

  void lower(Primitive primitive) {
    switch (primitive) {
      case Primitive.ReduceSum(List<Integer> dims, Blocks blocks) -> {
        if (!isWhole() && !dims.isEmpty() && !dims.contains(shape.rank() - 1)) {
          columns(dims, columnBlocks(blocks, extent(dims), isExact));
        } else {
          rows(dims, blocks, false);
        }
      }
      case Primitive.ReduceMax(List<Integer> dims) -> rows(dims, Blocks.WHOLE, true);
      default -> throw new IllegalStateException("reduces nothing: op=" + primitive.label());
    }
  }

  private boolean isWhole() {
    return x.type().dtype().isInteger();
  }

  private List<Integer> kept(List<Integer> dims) {
    return IntStream.range(0, shape.rank()).boxed().filter(dim -> !dims.contains(dim)).toList();
  }

  private int extent(List<Integer> dims) {
    return Sizes.of(dims.stream().mapToLong(shape::dim).reduce(1, Math::multiplyExact));
  }

  /// Returns the operand with its dimensions in an order: itself, or a transposed copy.
  private Ref ordered(Stream<Integer> first, Stream<Integer> then) {
    List<Integer> order = Stream.concat(first, then).toList();
    if (IntStream.range(0, order.size()).allMatch(i -> order.get(i) == i)) {
      return Emission.at(x);
    }
    Ref copy = emit.scratch(x.type().bytes());
    LayoutLowering.permuted(shape, order)
        .emit(emit, Emission.at(x), copy, x.type().dtype().bytes());
    return copy;
  }

  private void rows(List<Integer> dims, Blocks blocks, boolean isMax) {
    int rows = extent(kept(dims));
    int extent = extent(dims);
    if (rows == 0) {
      return;
    }
    Ref from = ordered(kept(dims).stream(), dims.stream());
    DType dtype = x.type().dtype();
    if (isWhole()) {
      emit.add(
          LaunchBuilder.of("whole.cu", "whole_row_reduce")
              .word(Lowering.code(dtype))
              .word(isMax ? WHOLE_MAX : WHOLE_ADD)
              .at(from)
              .at(out)
              .word(rows)
              .word(extent)
              .grid(Math.ceilDiv(rows, 4), ROW_THREADS));
    } else if (isMax) {
      emit.add(
          LaunchBuilder.of("reduce_rows.cu", "row_max_f32")
              .at(from)
              .at(out)
              .word(rows)
              .word(extent)
              .grid(rowGrid(rows), ROW_THREADS));
    } else if (areRows(shape, dims, blocks)) {
      Ref leaves = emit.scratch(4L * blocks.count());
      rowSums(from, leaves, blocks.count(), extent / blocks.count(), Blocks.WHOLE);
      emit.joinLeaves(leaves, Emission.at(out), blocks.count());
    } else {
      rowSums(from, Emission.at(out), rows, extent, blocks);
    }
  }

  /// Whether the blocks of a sum of everything are as good as rows of a matrix: any number of them
  /// are summed side by side, and their sums joined.
  static boolean areRows(Shape shape, List<Integer> dims, Blocks blocks) {
    return dims.size() == shape.rank()
        && blocks.outer() == 1
        && blocks.count() > 1
        && shape.elements() % blocks.count() == 0;
  }

  private void rowSums(Ref from, Ref to, int rows, int extent, Blocks blocks) {
    boolean isLong = extent >= LONG_EXTENT && rows < MANY_ROWS;
    LaunchBuilder launch =
        LaunchBuilder.of("reduce_rows.cu", isLong ? "row_sum_long_f32" : "row_sum_f32")
            .at(from)
            .at(to)
            .word(rows)
            .word(extent)
            .word(Sizes.outer(blocks))
            .word(blocks.count());
    emit.add(isLong ? launch.grid(rows, LONG_THREADS) : launch.grid(rowGrid(rows), ROW_THREADS));
  }

  private String columnKernel() {
    return "column_sum_" + Lowering.name(x.type().dtype());
  }

  private void columns(List<Integer> dims, Blocks blocks) {
    int width = extent(kept(dims));
    if (width == 0) {
      return;
    }
    Ref from = ordered(dims.stream(), kept(dims).stream());
    if (!isExact && WideColumns.fits(width)) {
      WideColumns sums = new WideColumns(emit, extent(dims), width);
      Ref parts = sums.parts(Emission.at(out));
      sums.launch(LaunchBuilder.of("wide_columns.cu", "wide_" + columnKernel()).at(from).at(parts));
      sums.join(parts, Emission.at(out));
      return;
    }
    columnSums(
        emit,
        new ColumnSums(1, width, blocks.count()),
        Emission.at(out),
        (parts, grid) ->
            LaunchBuilder.of("reduce_columns.cu", columnKernel())
                .at(from)
                .at(parts)
                .word(extent(dims))
                .word(width)
                .word(Sizes.outer(blocks))
                .word(blocks.count())
                .grid(grid, blocks.count(), 1, LONG_THREADS, 0));
  }

  /// Sums down columns whose blocks become parts that are joined.
  ///
  /// @param rows of each part
  /// @param width of each part
  /// @param blocks how many parts
  record ColumnSums(int rows, int width, int blocks) {}

  /// Makes the launch that writes parts.
  interface PartsLaunch {
    Action make(Ref parts, int grid);
  }

  static void columnSums(Emission emit, ColumnSums sums, Ref out, PartsLaunch launch) {
    int grid = Math.ceilDiv(sums.width, COLUMNS);
    if (sums.blocks == 1) {
      emit.add(launch.make(out, grid));
      return;
    }
    Ref parts = emit.scratch(4L * sums.blocks * sums.rows * sums.width);
    emit.add(launch.make(parts, grid));
    emit.join(parts, out, sums.rows, sums.width, sums.width, sums.blocks);
  }
}
