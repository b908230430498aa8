package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.CudaDriver.Geometry;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// A product of 8-bit floats by cuBLASLt, on tensor cores from Ada and Hopper on. They take both
/// operands along the sum, `A` as `[m, k]` and `B` as `[n, k]`, in extents that are multiples of
/// 16: what lies otherwise is turned, padded with zeros, or both, in one pass of a byte an element.
/// A result of other extents is made in working memory, a slab at a time, and cut to its place.
///
/// What those tensor cores do not do, all products on older ones, is done on bfloat16
/// ([WidenedProduct]).
///
/// @param a the left operand
/// @param b the right operand
/// @param bias what is added to each row of the result, float32
/// @param scales numbers by which the result is multiplied before that, up to two
/// @param out the result, float32 or bfloat16
/// @param extents of the product
record EightBitProduct(
    Value a, Value b, Optional<Value> bias, List<Value> scales, Value out, Extents extents) {
  private static final int MULTIPLE = 16;
  private static final int TILE = 64;
  private static final int TILE_ROWS = 4;

  EightBitProduct {
    scales = List.copyOf(scales);
  }

  /// Returns the product of a unit.
  static EightBitProduct of(CudaUnit unit) {
    List<Value> inputs = unit.node().inputs();
    return new EightBitProduct(
        unit.reads().get(0),
        unit.reads().get(1),
        inputs.size() > 2 ? Optional.of(inputs.get(2)) : Optional.empty(),
        unit.scales(),
        unit.writes().getFirst(),
        Extents.of(unit.node()));
  }

  /// Whether tensor cores know a type.
  static boolean isEight(DType dtype) {
    return dtype == DType.F8_E4M3FN || dtype == DType.F8_E5M2;
  }

  /// Whether tensor cores multiply the two types: one of them has three bits of fraction.
  private boolean multiplies() {
    return a.type().dtype() != DType.F8_E5M2 || b.type().dtype() != DType.F8_E5M2;
  }

  /// Whether the GPU and its library do this product, on 8 bits or on bfloat16.
  boolean isServed(LtMultiplier library) {
    return !extents.isEmpty()
        && (isServedAsItIs(library) || new WidenedProduct(this).isServed(library));
  }

  private boolean isServedAsItIs(LtMultiplier library) {
    return multiplies()
        && parts().stream().allMatch(part -> library.workspaceBytes(product(part)).isPresent());
  }

  private static int padded(int extent) {
    return Sizes.of(Math.ceilDiv((long) extent, MULTIPLE) * MULTIPLE);
  }

  private Extents padded() {
    return extents.with(padded(extents.m()), padded(extents.n()), padded(extents.k()));
  }

  /// What is made at once.
  ///
  /// @param firstResult first of the batch
  /// @param results how many of the batch
  /// @param firstRow first row of each
  /// @param rows how many rows, padding included
  private record Part(int firstResult, int results, int firstRow, int rows) {}

  private boolean isCut() {
    Extents padded = padded();
    return padded.m() != extents.m() || padded.n() != extents.n();
  }

  private List<Part> parts() {
    int m = padded().m();
    if (!isCut()) {
      return List.of(new Part(0, extents.batch(), 0, m));
    }
    long rowBytes = (long) padded().n() * itemBytes();
    int results = Slabs.results(extents.batch(), m * rowBytes);
    int rows = results > 1 ? m : Slabs.rows(m, rowBytes);
    List<Part> parts = new ArrayList<>();
    for (int result = 0; result < extents.batch(); result += results) {
      for (int row = 0; row < m; row += rows) {
        int most = Math.min(results, extents.batch() - result);
        parts.add(new Part(result, most, row, Math.min(rows, m - row)));
      }
    }
    return parts;
  }

  private int itemBytes() {
    return out.type().dtype().bytes();
  }

  private LtProduct product(Part part) {
    Extents padded = padded();
    return new LtProduct(
        part.rows,
        padded.n(),
        padded.k(),
        operand(a, false, padded.m(), padded.k()),
        operand(b, true, padded.n(), padded.k()),
        part.results,
        false,
        scales.size(),
        out.type().dtype());
  }

  private static LtProduct.Operand operand(Value value, boolean transposed, int rows, int summed) {
    return new LtProduct.Operand(value.type().dtype(), transposed, summed, (long) rows * summed);
  }

  /// Appends the product, which the library serves.
  void lower(Emission emit, LtMultiplier library) {
    if (isServedAsItIs(library)) {
      lowerAsItIs(emit, library);
    } else {
      new WidenedProduct(this).lower(emit, library);
    }
    long elements = extents.rows() * extents.n();
    bias.ifPresent(row -> emit.addRow(Emission.at(out), Emission.at(row), elements, extents.n()));
  }

  private void lowerAsItIs(Emission emit, LtMultiplier library) {
    List<Part> parts = parts();
    long workspaceBytes = 0;
    long resultBytes = 0;
    for (Part part : parts) {
      LtProduct product = product(part);
      workspaceBytes = Math.max(workspaceBytes, library.workspaceBytes(product).orElseThrow());
      resultBytes = Math.max(resultBytes, product.outBytes());
    }
    // One call after the other: they share what they work in.
    Action.Workspace workspace = new Action.Workspace(emit.scratch(workspaceBytes), workspaceBytes);
    Extents padded = padded();
    Ref left = alongSum(emit, a, extents.m(), padded.m(), extents.transposeA());
    Ref right = alongSum(emit, b, extents.n(), padded.n(), !extents.transposeB());
    Ref result = isCut() ? emit.scratch(resultBytes) : Emission.at(out);
    for (Part part : parts) {
      long rows = (long) part.firstResult * padded.m() + part.firstRow;
      long columns = (long) part.firstResult * padded.n();
      emit.add(
          new Action.Multiply(
              product(part),
              left.plus(rows * padded.k()),
              right.plus(columns * padded.k()),
              result,
              Ref.NOTHING,
              scales.stream().map(Emission::at).toList(),
              workspace));
      if (isCut()) {
        cut(part).emit(emit, result, Emission.at(out), itemBytes());
      }
    }
  }

  /// What takes a part of the result to its place, without its padding.
  private StridedCopy cut(Part part) {
    int columns = padded().n();
    long[] shape = {part.results, Math.min(part.rows, extents.m() - part.firstRow), extents.n()};
    long[] from = {(long) part.rows * columns, columns, 1};
    long[] to = {(long) extents.m() * extents.n(), extents.n(), 1};
    long first = part.firstResult * to[0] + part.firstRow * to[1];
    return StridedCopy.of(shape, from, to, 0, first);
  }

  /// Returns where an operand lies as `[rows, k]`, after copying it if it does not.
  ///
  /// @param isTurned whether it lies as `[k, rows]`
  private Ref alongSum(Emission emit, Value value, int rows, int paddedRows, boolean isTurned) {
    int summed = extents.k();
    int paddedSummed = padded(summed);
    Ref from = Emission.at(value);
    if (!isTurned && rows == paddedRows && summed == paddedSummed) {
      return from;
    }
    Ref to = emit.scratch((long) extents.batch() * paddedRows * paddedSummed);
    emit.add(
        LaunchBuilder.of("eight_bits.cu", isTurned ? "turn_8" : "pad_8")
            .at(from)
            .at(to)
            .word(isTurned ? summed : rows)
            .word(isTurned ? rows : summed)
            .word(paddedRows)
            .word(paddedSummed)
            .word(extents.batch())
            .grid(
                new Geometry(
                    Math.ceilDiv(paddedSummed, TILE),
                    Math.min(Math.ceilDiv(paddedRows, TILE), Emission.MOST_GRID),
                    Math.min(extents.batch(), Emission.MOST_GRID),
                    TILE,
                    TILE_ROWS,
                    1,
                    0)));
    return to;
  }
}
