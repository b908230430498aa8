package dev.lockstep.device.cuda;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/// Products of matrices, by cuBLASLt or by kernels of this module.
///
/// Note [whole products]: the module's kernels keep the CPU's order of sums, the blocks of the
/// contraction included. cuBLASLt keeps an order of its own, by which a layout that cuts a sum has
/// other bits whatever the blocks say, so it gets each product whole: one call, no parts to join.
final class ProductLowering {
  private static final int TILE = 64;
  private static final int THREADS = 256;
  private static final int MOST_GRID_Z = 65_535;

  /// What cuBLASLt's fastest kernels want rows to be a multiple of, in bytes.
  private static final int ROW_BYTES = 16;

  /// What rows are padded to, in bytes.
  private static final int PADDED_ROW_BYTES = 128;

  /// Elements from which on rows are padded.
  private static final long WORTH_PADDING = 1 << 16;

  /// Most bytes of a result that stands in working memory at once: what stays in the second-level
  /// cache until it is copied to its place.
  private static final long SLAB_BYTES = 32L << 20;

  /// What the rows of a slab are a multiple of: the tallest of cuBLASLt's tiles.
  private static final int SLAB_ROWS = 256;

  private final CudaUnit unit;
  private final Emission emit;
  private final Optional<LtMultiplier> library;
  private final Value a;
  private final Value b;
  private final Value out;

  ProductLowering(CudaUnit unit, Emission emit, Optional<LtMultiplier> library) {
    this.unit = unit;
    this.emit = emit;
    this.library = library;
    this.a = unit.reads().get(0);
    this.b = unit.reads().get(1);
    this.out = unit.writes().getFirst();
  }

  /// The extents of a product.
  ///
  /// @param batch how many products
  /// @param m rows of the result
  /// @param n columns of the result
  /// @param k what is summed over
  private record Extents(int batch, int m, int n, int k) {
    long rows() {
      return (long) batch * m;
    }
  }

  /// Appends `MatMul` or `Linear`.
  void multiply(boolean transposeA, boolean transposeB, Blocks contraction) {
    Extents extents = extents(transposeA, transposeB);
    if (extents.rows() * extents.n == 0) {
      return;
    }
    boolean isDone =
        library.isPresent()
            && isNarrow(a) == isNarrow(b)
            && extents.k > 0
            && byLibrary(library.get(), extents, transposeA, transposeB);
    if (!isDone) {
      byKernel(extents, transposeA, transposeB, contraction);
    }
  }

  private Extents extents(boolean transposeA, boolean transposeB) {
    Node node = unit.node();
    Shape left = node.inputs().get(0).type().shape();
    Shape right = node.inputs().get(1).type().shape();
    boolean isShared = right.rank() == 2;
    long leading = Sizes.product(left, 0, left.rank() - 2);
    long m = left.dim(transposeA ? -1 : -2) * (isShared ? leading : 1);
    return new Extents(
        Sizes.of(isShared ? 1 : leading),
        Sizes.of(m),
        Sizes.of(right.dim(transposeB ? -2 : -1)),
        Sizes.of(left.dim(transposeA ? -2 : -1)));
  }

  private boolean hasBias() {
    return unit.node().inputs().size() > 2;
  }

  private static boolean isNarrow(Value value) {
    return value.type().dtype() == DType.BF16;
  }

  private static int itemBytes(Value value) {
    return value.type().dtype().bytes();
  }

  private Ref bias() {
    return hasBias() ? Emission.at(unit.node().inputs().get(2)) : Ref.NOTHING;
  }

  private static String name(Value value) {
    return isNarrow(value) ? "bf16" : "f32";
  }

  /// By `matmul.cu`: the chains of the CPU device.
  private void byKernel(
      Extents extents, boolean transposeA, boolean transposeB, Blocks contraction) {
    // One block is one ascending chain, however many slices it is seen as.
    Blocks blocks = contraction.count() == 1 ? Blocks.WHOLE : contraction;
    long size = extents.rows() * extents.n;
    Ref result = isNarrow(out) ? emit.scratch(4 * size) : Emission.at(out);
    if (blocks.count() == 1) {
      chains(extents, transposeA, transposeB, blocks, bias(), result);
    } else {
      Ref parts = emit.scratch(4L * blocks.count() * size);
      chains(extents, transposeA, transposeB, blocks, Ref.NOTHING, parts);
      emit.join(parts, result, extents.rows(), extents.n, extents.n, blocks.count());
      if (hasBias()) {
        emit.elements(
            LaunchBuilder.of("elements.cu", "add_row_f32")
                .at(result)
                .at(bias())
                .at(Ref.NOTHING)
                .at(result)
                .wide(size)
                .word(extents.n),
            size);
      }
    }
    if (isNarrow(out)) {
      emit.elements(
          LaunchBuilder.of("cast.cu", "cast_f32_bf16").at(result).at(out).wide(size), size);
    }
  }

  private void chains(
      Extents extents, boolean transposeA, boolean transposeB, Blocks blocks, Ref bias, Ref to) {
    String kernel = "matmul_" + name(a) + (isNarrow(a) == isNarrow(b) ? "" : "_" + name(b));
    long strideA = (long) extents.m * extents.k;
    long strideB = (long) extents.k * extents.n;
    long strideOut = (long) extents.m * extents.n;
    int slice = Math.max(1, MOST_GRID_Z / blocks.count());
    for (int first = 0; first < extents.batch; first += slice) {
      int batch = Math.min(slice, extents.batch - first);
      StructBuilder product =
          new StructBuilder()
              .words(extents.m, extents.n)
              .words(extents.k, transposeA ? 1 : 0)
              .words(transposeB ? 1 : 0, transposeA ? extents.m : extents.k)
              .words(transposeB ? extents.k : extents.n, extents.n)
              .words(Sizes.outer(blocks), blocks.count())
              .wide(strideA, strideB, strideOut, extents.rows() * extents.n);
      emit.add(
          LaunchBuilder.of("matmul.cu", kernel)
              .at(Emission.at(a).plus(first * strideA * itemBytes(a)))
              .at(Emission.at(b).plus(first * strideB * itemBytes(b)))
              .at(bias)
              .at(to.plus(first * strideOut * 4))
              .struct(product)
              .grid(
                  Math.ceilDiv(extents.n, TILE),
                  Math.ceilDiv(extents.m, TILE),
                  batch * blocks.count(),
                  THREADS,
                  0));
    }
  }

  /// An operand of cuBLASLt's: where it lies, or will lie once its rows have been padded.
  ///
  /// @param value the operand
  /// @param transposed whether its dimensions are swapped
  /// @param rows of one matrix of the batch, as it lies
  /// @param columns of one matrix, as it lies
  /// @param row distance between rows once it is padded
  private record Side(Value value, boolean transposed, long rows, long columns, long row) {
    boolean isPadded() {
      return row != columns;
    }

    LtProduct.Operand operand() {
      return new LtProduct.Operand(transposed, row, rows * row);
    }
  }

  private Side side(Value value, boolean transposed, long rows, long columns, int batch) {
    long row = worthPadding(batch * rows, columns, value) ? padded(columns, value) : columns;
    return new Side(value, transposed, rows, columns, row);
  }

  /// Whether rows lie so that only cuBLASLt's slow kernels could take them. In float32 it has no
  /// others.
  private boolean worthPadding(long rows, long columns, Value value) {
    return isNarrow(a)
        && columns * itemBytes(value) % ROW_BYTES != 0
        && rows * columns >= WORTH_PADDING;
  }

  private static long padded(long columns, Value value) {
    int each = PADDED_ROW_BYTES / itemBytes(value);
    return Math.ceilDiv(columns, each) * each;
  }

  /// By cuBLASLt. Rows of bfloat16 that are not aligned are copied into rows that are; a result
  /// with such rows is made in working memory, some rows at a time, and copied to its place.
  ///
  /// @return whether the library serves the product; if not, nothing was appended
  private boolean byLibrary(
      LtMultiplier multiplier, Extents extents, boolean transposeA, boolean transposeB) {
    int batch = extents.batch;
    Side left =
        transposeA
            ? side(a, true, extents.k, extents.m, batch)
            : side(a, false, extents.m, extents.k, batch);
    Side right =
        transposeB
            ? side(b, true, extents.n, extents.k, batch)
            : side(b, false, extents.k, extents.n, batch);
    boolean bySlabs = batch == 1 && worthPadding(extents.m, extents.n, out);
    long outRow = bySlabs ? padded(extents.n, out) : extents.n;
    int slab = bySlabs ? slabRows(extents.m, outRow) : extents.m;
    List<LtProduct> products = new ArrayList<>();
    long workspaceBytes = 0;
    for (int first = 0; first < extents.m; first += slab) {
      LtProduct product =
          new LtProduct(
              Math.min(slab, extents.m - first),
              extents.n,
              extents.k,
              left.operand(),
              right.operand(),
              outRow,
              batch,
              hasBias(),
              a.type().dtype(),
              out.type().dtype());
      OptionalLong needed = multiplier.workspaceBytes(product);
      if (needed.isEmpty()) {
        return false;
      }
      workspaceBytes = Math.max(workspaceBytes, needed.getAsLong());
      products.add(product);
    }
    // One call after the other: they share what they work in.
    Action.Workspace workspace = new Action.Workspace(emit.scratch(workspaceBytes), workspaceBytes);
    Ref leftAt = pad(left, batch);
    Ref rightAt = pad(right, batch);
    Ref result = bySlabs ? emit.scratch(slab * outRow * itemBytes(out)) : Emission.at(out);
    long first = 0;
    for (LtProduct product : products) {
      Ref rows = leftAt.plus(first * (transposeA ? 1 : left.row) * itemBytes(a));
      emit.add(new Action.Multiply(product, rows, rightAt, result, bias(), workspace));
      if (bySlabs) {
        Ref to = Emission.at(out).plus(first * extents.n * itemBytes(out));
        emit.copyRows(
            itemBytes(out),
            new Emission.Rows(result, outRow),
            new Emission.Rows(to, extents.n),
            product.m(),
            extents.n);
      }
      first += product.m();
    }
    return true;
  }

  private int slabRows(int rows, long outRow) {
    long most = SLAB_BYTES / (outRow * itemBytes(out));
    return (int) Math.min(rows, Math.max(SLAB_ROWS, most / SLAB_ROWS * SLAB_ROWS));
  }

  /// Returns where an operand lies, after copying it if its rows are padded.
  private Ref pad(Side side, int batch) {
    Ref from = Emission.at(side.value);
    if (!side.isPadded()) {
      return from;
    }
    long rows = batch * side.rows;
    int bytes = itemBytes(side.value);
    Ref to = emit.scratch(rows * side.row * bytes);
    emit.copyRows(
        bytes,
        new Emission.Rows(from, side.columns),
        new Emission.Rows(to, side.row),
        rows,
        Sizes.of(side.columns));
    return to;
  }
}
