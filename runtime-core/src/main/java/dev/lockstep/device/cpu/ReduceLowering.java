package dev.lockstep.device.cpu;

import dev.lockstep.device.cpu.ElementKernels.Binary;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// Reductions as sums along rows, where the innermost dimension is among the reduced ones, or down
/// columns. Dimensions that stand in the way are transposed first.
final class ReduceLowering {
  private final Value x;
  private final Value out;
  private final Shape shape;

  ReduceLowering(Value x, Value out) {
    this.x = x;
    this.out = out;
    this.shape = x.type().shape();
  }

  Step step(Primitive primitive) {
    return switch (primitive) {
      case Primitive.ReduceSum(List<Integer> dims, Blocks blocks) -> {
        boolean columns = !isWhole() && !dims.isEmpty() && !dims.contains(shape.rank() - 1);
        yield columns ? columns(dims, blocks) : rows(dims, blocks, false);
      }
      case Primitive.ReduceMax(List<Integer> dims) -> rows(dims, Blocks.WHOLE, true);
      default -> throw new IllegalStateException("reduces nothing: op=" + primitive.label());
    };
  }

  private List<Integer> kept(List<Integer> dims) {
    return IntStream.range(0, shape.rank()).boxed().filter(dim -> !dims.contains(dim)).toList();
  }

  private int extent(List<Integer> dims) {
    return Extents.of(dims.stream().mapToLong(shape::dim).reduce(1, Math::multiplyExact));
  }

  private Step rows(List<Integer> dims, Blocks blocks, boolean max) {
    List<Integer> order = Stream.concat(kept(dims).stream(), dims.stream()).toList();
    int rows = extent(kept(dims));
    int extent = extent(dims);
    int from = inOrder(order) ? x.id() : Frame.SHARED;
    if (isWhole()) {
      Binary op = max ? Binary.MAX : Binary.ADD;
      DType dtype = x.type().dtype();
      return after(order, new ReduceStep.WholeRows(dtype, op, from, out.id(), rows, extent));
    }
    return after(
        order,
        max
            ? new ReduceStep.RowMax(from, out.id(), rows, extent)
            : new ReduceStep.RowSum(from, out.id(), rows, extent, blocks));
  }

  private boolean isWhole() {
    return x.type().dtype().isInteger();
  }

  private Step columns(List<Integer> dims, Blocks blocks) {
    List<Integer> order = Stream.concat(dims.stream(), kept(dims).stream()).toList();
    int from = inOrder(order) ? x.id() : Frame.SHARED;
    return after(
        order, new ReduceStep.ColumnSum(from, out.id(), extent(dims), extent(kept(dims)), blocks));
  }

  private static boolean inOrder(List<Integer> order) {
    return IntStream.range(0, order.size()).allMatch(i -> order.get(i) == i);
  }

  private Step after(List<Integer> order, Step reduce) {
    if (inOrder(order)) {
      return reduce;
    }
    int bytes = Lowering.itemBytes(x);
    CopyStep transpose =
        new CopyStep(
            "Transpose", x.id(), Frame.SHARED, bytes, LayoutLowering.permuted(shape, order));
    return new SequenceStep(List.of(transpose, reduce), x.type().bytes());
  }
}
