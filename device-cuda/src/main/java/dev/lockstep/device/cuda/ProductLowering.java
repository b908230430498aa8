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

/// Products of matrices, by kernels of this module or by cuBLASLt.
final class ProductLowering {
  private static final int TILE = 64;
  private static final int THREADS = 256;
  private static final int MOST_GRID_Z = 65_535;

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

  private record Call(LtProduct product, Ref a, Ref b, Ref out, boolean adds) {}

  /// Appends `MatMul` or `Linear`.
  void multiply(boolean transposeA, boolean transposeB, Blocks contraction) {
    Extents extents = extents(transposeA, transposeB);
    if (extents.rows() * extents.n == 0) {
      return;
    }
    // One block is one ascending chain, however many slices it is seen as.
    Blocks blocks = contraction.count() == 1 ? Blocks.WHOLE : contraction;
    Ref parts =
        blocks.count() == 1
            ? Emission.at(out)
            : emit.scratch(4L * blocks.count() * extents.rows() * extents.n);
    List<Action> calls =
        library.isPresent() && isNarrow(a) == isNarrow(b)
            ? byLibrary(library.get(), extents, transposeA, transposeB, blocks, parts)
            : List.of();
    if (calls.isEmpty()) {
      byKernel(extents, transposeA, transposeB, blocks, parts);
    } else {
      calls.forEach(emit::add);
    }
    if (blocks.count() > 1) {
      emit.join(parts, Emission.at(out), extents.rows(), extents.n, extents.n, blocks.count());
    }
    if (hasBias() && blocks.count() > 1) {
      addBias(extents);
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

  private void addBias(Extents extents) {
    long n = extents.rows() * extents.n;
    emit.elements(
        LaunchBuilder.of("elements.cu", "add_row_f32")
            .at(out)
            .at(unit.node().inputs().get(2))
            .at(Ref.NOTHING)
            .at(out)
            .wide(n)
            .word(extents.n),
        n);
  }

  private static String name(Value value) {
    return isNarrow(value) ? "bf16" : "f32";
  }

  /// By `matmul.cu`: the chains of the CPU device.
  private void byKernel(
      Extents extents, boolean transposeA, boolean transposeB, Blocks blocks, Ref parts) {
    String kernel = "matmul_" + name(a) + (isNarrow(a) == isNarrow(b) ? "" : "_" + name(b));
    long strideA = (long) extents.m * extents.k;
    long strideB = (long) extents.k * extents.n;
    long strideOut = (long) extents.m * extents.n;
    boolean addsBias = hasBias() && blocks.count() == 1;
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
              .at(addsBias ? Emission.at(unit.node().inputs().get(2)) : Ref.NOTHING)
              .at(parts.plus(first * strideOut * 4))
              .struct(product)
              .grid(
                  Math.ceilDiv(extents.n, TILE),
                  Math.ceilDiv(extents.m, TILE),
                  batch * blocks.count(),
                  THREADS,
                  0));
    }
  }

  /// By cuBLASLt: a call for each slice of each block of the sum. Returns none if the library does
  /// not serve all of them.
  private List<Action> byLibrary(
      LtMultiplier multiplier,
      Extents extents,
      boolean transposeA,
      boolean transposeB,
      Blocks blocks,
      Ref parts) {
    long rowA = transposeA ? extents.m : extents.k;
    long rowB = transposeB ? extents.k : extents.n;
    boolean addsBias = hasBias() && blocks.count() == 1;
    Ref bias = addsBias ? Emission.at(unit.node().inputs().get(2)) : Ref.NOTHING;
    List<Call> calls = new ArrayList<>();
    long workspaceBytes = 0;
    for (int block = 0; block < blocks.count(); block++) {
      long start = blocks.start(block, extents.k);
      long length = blocks.start(block + 1, extents.k) - start;
      if (length == 0) {
        return List.of();
      }
      Ref result = parts.plus(4L * block * extents.rows() * extents.n);
      for (long outer = 0; outer < blocks.outer(); outer++) {
        long first = outer * (extents.k / blocks.outer()) + start;
        Ref left = Emission.at(a).plus(first * (transposeA ? rowA : 1) * itemBytes(a));
        Ref right = Emission.at(b).plus(first * (transposeB ? 1 : rowB) * itemBytes(b));
        LtProduct product =
            new LtProduct(
                extents.m,
                extents.n,
                Sizes.of(length),
                new LtProduct.Operand(transposeA, rowA, (long) extents.m * extents.k),
                new LtProduct.Operand(transposeB, rowB, (long) extents.k * extents.n),
                extents.batch,
                addsBias,
                a.type().dtype(),
                LtProduct.alignment(left, right, result));
        OptionalLong needed = multiplier.workspaceBytes(product);
        if (needed.isEmpty()) {
          return List.of();
        }
        workspaceBytes = Math.max(workspaceBytes, needed.getAsLong());
        calls.add(new Call(product, left, right, result, outer > 0));
      }
    }
    // One call after the other: they share what they work in.
    Action.Workspace workspace = new Action.Workspace(emit.scratch(workspaceBytes), workspaceBytes);
    return calls.stream()
        .<Action>map(
            call ->
                new Action.Multiply(
                    call.product, call.a, call.b, call.out, bias, call.adds, workspace))
        .toList();
  }
}
