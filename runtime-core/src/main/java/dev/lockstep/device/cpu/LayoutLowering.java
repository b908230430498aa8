package dev.lockstep.device.cpu;

import dev.lockstep.device.cpu.CopyStep.Strides;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.List;

/// Ops that only move elements, as strided copies.
final class LayoutLowering {
  private final List<Value> in;
  private final Value out;
  private final int bytes;

  LayoutLowering(List<Value> in, Value out) {
    this.in = in;
    this.out = out;
    this.bytes = Lowering.itemBytes(out);
  }

  Step step(Primitive primitive) {
    return switch (primitive) {
      case Primitive.Transpose(List<Integer> permutation) ->
          copy("Transpose", permuted(in.get(0).type().shape(), permutation));
      case Primitive.BroadcastTo(Shape to, List<Integer> dims) -> broadcast(to, dims);
      case Primitive.Slice(List<Long> starts, List<Long> _) -> slice(starts);
      case Primitive.Concat(int dim) -> concat(dim);
      default -> throw new IllegalStateException("moves nothing: op=" + primitive.label());
    };
  }

  private Step copy(String label, Strides strides) {
    return new CopyStep(label, in.get(0).id(), out.id(), bytes, strides);
  }

  /// Reads a tensor in the order of permuted dimensions and writes it row-major.
  static Strides permuted(Shape from, List<Integer> permutation) {
    long[] rowMajor = Strides.rowMajor(from.dims());
    long[] extents = new long[permutation.size()];
    long[] strides = new long[extents.length];
    for (int i = 0; i < extents.length; i++) {
      extents[i] = from.dim(permutation.get(i));
      strides[i] = rowMajor[permutation.get(i)];
    }
    return new Strides(extents, strides, Strides.rowMajor(extents), 0, 0);
  }

  private Step broadcast(Shape to, List<Integer> dims) {
    Shape shape = in.get(0).type().shape();
    long[] rowMajor = Strides.rowMajor(shape.dims());
    long[] strides = new long[to.rank()];
    for (int i = 0; i < dims.size(); i++) {
      boolean repeats = shape.dim(i) == 1 && to.dim(dims.get(i)) != 1;
      strides[dims.get(i)] = repeats ? 0 : rowMajor[i];
    }
    long[] extents = to.dims();
    return copy("BroadcastTo", new Strides(extents, strides, Strides.rowMajor(extents), 0, 0));
  }

  private Step slice(List<Long> starts) {
    long[] strides = Strides.rowMajor(in.get(0).type().shape().dims());
    long[] extents = out.type().shape().dims();
    long start = 0;
    for (int dim = 0; dim < extents.length; dim++) {
      start += starts.get(dim) * strides[dim];
    }
    return copy("Slice", new Strides(extents, strides, Strides.rowMajor(extents), start, 0));
  }

  private Step concat(int dim) {
    long[] strides = Strides.rowMajor(out.type().shape().dims());
    List<Step> parts = new ArrayList<>();
    long start = 0;
    for (Value part : in) {
      long[] extents = part.type().shape().dims();
      Strides layout =
          new Strides(extents, Strides.rowMajor(extents), strides, 0, start * strides[dim]);
      parts.add(new CopyStep("Concat", part.id(), out.id(), bytes, layout));
      start += extents[dim];
    }
    return parts.size() == 1 ? parts.getFirst() : new SequenceStep(parts, 0);
  }
}
