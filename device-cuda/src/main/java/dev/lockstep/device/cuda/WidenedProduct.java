package dev.lockstep.device.cuda;

import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import java.util.List;

/// A product of 8-bit floats on bfloat16, which every one of them is: two bytes an element beside
/// the four of float32, and tensor cores that every GPU since Ampere has. The result is multiplied
/// by its scales behind the product.
///
/// @param product what is multiplied
record WidenedProduct(EightBitProduct product) {
  private boolean isScaled() {
    return !product.scales().isEmpty();
  }

  private DType outDtype() {
    return product.out().type().dtype();
  }

  private LtProduct widened() {
    Extents extents = product.extents();
    return new LtProduct(
        extents.m(),
        extents.n(),
        extents.k(),
        operand(extents.transposeA(), extents.m(), extents.k()),
        operand(extents.transposeB(), extents.k(), extents.n()),
        extents.batch(),
        false,
        0,
        isScaled() ? DType.F32 : outDtype());
  }

  private static LtProduct.Operand operand(boolean transposed, int rows, int columns) {
    return new LtProduct.Operand(
        DType.BF16, transposed, transposed ? rows : columns, (long) rows * columns);
  }

  /// Whether the library does it.
  boolean isServed(LtMultiplier library) {
    return library.workspaceBytes(widened()).isPresent();
  }

  /// Appends the product without its bias.
  void lower(Emission emit, LtMultiplier library) {
    LtProduct widened = widened();
    long bytes = library.workspaceBytes(widened).orElseThrow();
    Action.Workspace workspace = new Action.Workspace(emit.scratch(bytes), bytes);
    Ref left = widen(emit, product.a());
    Ref right = widen(emit, product.b());
    Ref out = Emission.at(product.out());
    boolean isApart = isScaled() && outDtype() != DType.F32;
    Ref result = isApart ? emit.scratch(widened.outBytes()) : out;
    emit.add(new Action.Multiply(widened, left, right, result, Ref.NOTHING, List.of(), workspace));
    if (isScaled()) {
      scale(emit, result, out);
    }
  }

  private static Ref widen(Emission emit, Value value) {
    long elements = value.type().shape().elements();
    Ref to = emit.scratch(elements * DType.BF16.bytes());
    String kernel = "widen_" + Lowering.name(value.type().dtype());
    emit.elements(
        LaunchBuilder.of("eight_bits.cu", kernel).at(Emission.at(value)).at(to).wide(elements),
        elements);
    return to;
  }

  private void scale(Emission emit, Ref from, Ref to) {
    long elements = product.out().type().shape().elements();
    Ref second =
        product.scales().size() > 1 ? Emission.at(product.scales().getLast()) : Ref.NOTHING;
    emit.elements(
        LaunchBuilder.of("eight_bits.cu", "scale_" + Lowering.name(outDtype()))
            .at(from)
            .at(Emission.at(product.scales().getFirst()))
            .at(second)
            .at(to)
            .wide(elements),
        elements);
  }
}
