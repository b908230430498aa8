package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.CudaDriver.Geometry;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import java.util.List;
import java.util.Optional;

/// A product of 8-bit floats by cuBLASLt, on tensor cores from Ada and Hopper on. They take both
/// operands along the sum, `A` as `[m, k]` and `B` as `[n, k]`, in extents that are multiples of
/// 16: what lies otherwise is turned, padded with zeros, or both, in one pass of a byte an element.
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

  /// Whether tensor cores multiply two types: one of them has three bits of fraction.
  static boolean multiplies(DType a, DType b) {
    return isEight(a) && isEight(b) && !(a == DType.F8_E5M2 && b == DType.F8_E5M2);
  }

  /// Whether tensor cores know a type.
  static boolean isEight(DType dtype) {
    return dtype == DType.F8_E4M3FN || dtype == DType.F8_E5M2;
  }

  /// Whether the GPU and its library do this product.
  boolean isServed(LtMultiplier library) {
    return multiplies(a.type().dtype(), b.type().dtype())
        && !extents.isEmpty()
        && library.workspaceBytes(product()).isPresent();
  }

  private static int padded(int extent) {
    return Sizes.of(Math.ceilDiv((long) extent, MULTIPLE) * MULTIPLE);
  }

  private Extents padded() {
    return extents.with(padded(extents.m()), padded(extents.n()), padded(extents.k()));
  }

  private LtProduct product() {
    Extents padded = padded();
    return new LtProduct(
        padded.m(),
        padded.n(),
        padded.k(),
        operand(a, false, padded.m(), padded.k()),
        operand(b, true, padded.n(), padded.k()),
        padded.batch(),
        false,
        scales.size(),
        out.type().dtype());
  }

  private static LtProduct.Operand operand(Value value, boolean transposed, int rows, int summed) {
    return new LtProduct.Operand(value.type().dtype(), transposed, summed, (long) rows * summed);
  }

  /// Appends the product, which the library serves.
  void lower(Emission emit, LtMultiplier library) {
    LtProduct product = product();
    long bytes = library.workspaceBytes(product).orElseThrow();
    Action.Workspace workspace = new Action.Workspace(emit.scratch(bytes), bytes);
    Ref left = alongSum(emit, a, extents.m(), product.m(), extents.transposeA());
    Ref right = alongSum(emit, b, extents.n(), product.n(), !extents.transposeB());
    boolean isCut = product.m() != extents.m() || product.n() != extents.n();
    int itemBytes = out.type().dtype().bytes();
    long size = (long) product.batch() * product.m() * product.n();
    Ref result = isCut ? emit.scratch(size * itemBytes) : Emission.at(out);
    emit.add(
        new Action.Multiply(
            product,
            left,
            right,
            result,
            Action.Bias.NONE,
            scales.stream().map(Emission::at).toList(),
            workspace));
    if (isCut) {
      cut(product).emit(emit, result, Emission.at(out), itemBytes);
    }
    long elements = extents.rows() * extents.n();
    bias.ifPresent(row -> emit.addRow(Emission.at(out), Emission.at(row), elements, extents.n()));
  }

  private StridedCopy cut(LtProduct product) {
    long[] shape = {extents.batch(), extents.m(), extents.n()};
    long[] from = {(long) product.m() * product.n(), product.n(), 1};
    long[] to = {(long) extents.m() * extents.n(), extents.n(), 1};
    return StridedCopy.of(shape, from, to, 0, 0);
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
