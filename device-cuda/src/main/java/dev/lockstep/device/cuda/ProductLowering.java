package dev.lockstep.device.cuda;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
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

  /// What extents are multiples of in the products that cuBLASLt's fast kernels take.
  private static final int FAST_MULTIPLE = 8;

  /// What extents are padded to a multiple of.
  private static final int PADDED = 64;

  /// Multiplications from which on a product is padded.
  private static final long WORTH_PADDING = 1 << 20;

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

  /// Appends `MatMul` or `Linear`.
  void multiply(Blocks contraction) {
    Extents extents = Extents.of(unit.node());
    if (extents.rows() * extents.n() == 0) {
      return;
    }
    if (EightBitProduct.isEight(a.type().dtype())) {
      EightBitProduct.of(unit).lower(emit, library.orElseThrow());
      return;
    }
    boolean isDone =
        library.isPresent()
            && isNarrow(a) == isNarrow(b)
            && extents.k() > 0
            && byLibrary(library.get(), extents);
    if (!isDone) {
      byKernel(extents, contraction);
    }
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

  /// By `matmul.cu`: the chains of the CPU device.
  private void byKernel(Extents extents, Blocks contraction) {
    // One block is one ascending chain, however many slices it is seen as.
    Blocks blocks = contraction.count() == 1 ? Blocks.WHOLE : contraction;
    long size = extents.rows() * extents.n();
    Ref result = isNarrow(out) ? emit.scratch(4 * size) : Emission.at(out);
    if (blocks.count() == 1) {
      chains(extents, blocks, bias(), result);
    } else {
      Ref parts = emit.scratch(4L * blocks.count() * size);
      chains(extents, blocks, Ref.NOTHING, parts);
      emit.join(parts, result, extents.rows(), extents.n(), extents.n(), blocks.count());
      if (hasBias()) {
        emit.addRow(result, bias(), size, extents.n());
      }
    }
    if (isNarrow(out)) {
      emit.elements(
          LaunchBuilder.of("cast.cu", "cast_f32_bf16").at(result).at(out).wide(size), size);
    }
  }

  private void chains(Extents extents, Blocks blocks, Ref bias, Ref to) {
    String kernel =
        "matmul_"
            + Lowering.name(a.type().dtype())
            + (isNarrow(a) == isNarrow(b) ? "" : "_" + Lowering.name(b.type().dtype()));
    long strideA = (long) extents.m() * extents.k();
    long strideB = (long) extents.k() * extents.n();
    long strideOut = (long) extents.m() * extents.n();
    int slice = Math.max(1, Emission.MOST_GRID / blocks.count());
    for (int first = 0; first < extents.batch(); first += slice) {
      int batch = Math.min(slice, extents.batch() - first);
      StructBuilder product =
          new StructBuilder()
              .words(extents.m(), extents.n())
              .words(extents.k(), extents.transposeA() ? 1 : 0)
              .words(extents.transposeB() ? 1 : 0, extents.transposeA() ? extents.m() : extents.k())
              .words(extents.transposeB() ? extents.k() : extents.n(), extents.n())
              .words(Sizes.outer(blocks), blocks.count())
              .wide(strideA, strideB, strideOut, extents.rows() * extents.n());
      emit.add(
          LaunchBuilder.of("matmul.cu", kernel)
              .at(Emission.at(a).plus(first * strideA * itemBytes(a)))
              .at(Emission.at(b).plus(first * strideB * itemBytes(b)))
              .at(bias)
              .at(to.plus(first * strideOut * 4))
              .struct(product)
              .grid(
                  Math.ceilDiv(extents.n(), TILE),
                  Math.ceilDiv(extents.m(), TILE),
                  batch * blocks.count(),
                  THREADS,
                  0));
    }
  }

  /// A matrix as cuBLASLt sees it: as it lies, or copied into one whose extents are padded with
  /// zeros.
  ///
  /// @param value the matrix
  /// @param rows as it lies
  /// @param columns as it lies
  /// @param paddedRows rows that cuBLASLt sees
  /// @param paddedColumns columns that cuBLASLt sees
  private record Seen(Value value, int rows, int columns, int paddedRows, int paddedColumns) {
    boolean isPadded() {
      return paddedRows != rows || paddedColumns != columns;
    }

    LtProduct.Operand operand(boolean transposed) {
      return new LtProduct.Operand(
          value.type().dtype(), transposed, paddedColumns, (long) paddedRows * paddedColumns);
    }
  }

  private static Seen seen(
      Value value, boolean transposed, int rows, int columns, int paddedRows, int paddedColumns) {
    return transposed
        ? new Seen(value, columns, rows, paddedColumns, paddedRows)
        : new Seen(value, rows, columns, paddedRows, paddedColumns);
  }

  /// Returns the extents that cuBLASLt gets: on bfloat16 its fast kernels take multiples of 8
  /// alone, so a large product with others is padded.
  private Extents padded(Extents extents) {
    boolean isWorth =
        isNarrow(a)
            && extents.batch() == 1
            && !hasBias()
            && (long) extents.m() * extents.n() * extents.k() >= WORTH_PADDING;
    return isWorth
        ? extents.with(padded(extents.m()), padded(extents.n()), padded(extents.k()))
        : extents;
  }

  private static int padded(int extent) {
    return extent % FAST_MULTIPLE == 0
        ? extent
        : Sizes.of(Math.ceilDiv((long) extent, PADDED) * PADDED);
  }

  /// By cuBLASLt. A result whose extents are padded is made in working memory, some rows at a time,
  /// and copied to its place.
  ///
  /// @return whether the library serves the product; if not, nothing was appended
  private boolean byLibrary(LtMultiplier multiplier, Extents extents) {
    Extents padded = padded(extents);
    Seen left = seen(a, extents.transposeA(), extents.m(), extents.k(), padded.m(), padded.k());
    Seen right = seen(b, extents.transposeB(), extents.k(), extents.n(), padded.k(), padded.n());
    boolean bySlabs = padded.m() != extents.m() || padded.n() != extents.n();
    int slab = bySlabs ? Slabs.rows(padded.m(), (long) padded.n() * itemBytes(out)) : extents.m();
    List<LtProduct> products = new ArrayList<>();
    long workspaceBytes = 0;
    for (int first = 0; first < padded.m(); first += slab) {
      LtProduct product =
          new LtProduct(
              Math.min(slab, padded.m() - first),
              padded.n(),
              padded.k(),
              left.operand(extents.transposeA()),
              right.operand(extents.transposeB()),
              extents.batch(),
              hasBias(),
              0,
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
    Ref leftAt = pad(left);
    Ref rightAt = pad(right);
    Ref result =
        bySlabs ? emit.scratch((long) slab * padded.n() * itemBytes(out)) : Emission.at(out);
    int first = 0;
    for (LtProduct product : products) {
      long skipped = first * (extents.transposeA() ? 1L : left.paddedColumns);
      emit.add(
          new Action.Multiply(
              product,
              leftAt.plus(skipped * itemBytes(a)),
              rightAt,
              result,
              bias(),
              List.of(),
              workspace));
      int rows = Math.min(product.m(), extents.m() - first);
      if (bySlabs && rows > 0) {
        Ref to = Emission.at(out).plus((long) first * extents.n() * itemBytes(out));
        emit.cutRows(itemBytes(out), result, to, rows, extents.n(), padded.n());
      }
      first += product.m();
    }
    return true;
  }

  /// Returns where an operand lies, after copying it if it is padded.
  private Ref pad(Seen seen) {
    Ref from = Emission.at(seen.value);
    if (!seen.isPadded()) {
      return from;
    }
    Ref to = emit.scratch((long) seen.paddedRows * seen.paddedColumns * itemBytes(seen.value));
    emit.padRows(from, to, seen.rows, seen.columns, seen.paddedRows, seen.paddedColumns);
    return to;
  }
}
