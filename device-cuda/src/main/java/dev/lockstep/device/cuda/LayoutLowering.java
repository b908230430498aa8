package dev.lockstep.device.cuda;

import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import java.util.List;

/// Ops that only move elements.
final class LayoutLowering {
  private final Emission emit;
  private final List<Value> in;
  private final Value out;

  LayoutLowering(Emission emit, List<Value> in, Value out) {
    this.emit = emit;
    this.in = in;
    this.out = out;
  }

  void lower(Primitive primitive) {
    switch (primitive) {
      case Primitive.Transpose(List<Integer> permutation) ->
          copy(in.getFirst(), permuted(in.getFirst().type().shape(), permutation));
      case Primitive.BroadcastTo(Shape to, List<Integer> dims) ->
          copy(in.getFirst(), broadcast(in.getFirst().type().shape(), to, dims));
      case Primitive.Slice(List<Long> starts, List<Long> _) -> copy(in.getFirst(), slice(starts));
      case Primitive.Concat(int dim) -> concat(dim);
      default -> throw new IllegalStateException("moves nothing: op=" + primitive.label());
    }
  }

  private void copy(Value from, StridedCopy copy) {
    copy.emit(emit, Emission.at(from), Emission.at(out), out.type().dtype().bytes());
  }

  /// Returns distances between the elements of a row-major tensor.
  static long[] rowMajor(long... extents) {
    long[] strides = new long[extents.length];
    long stride = 1;
    for (int i = extents.length - 1; i >= 0; i--) {
      strides[i] = stride;
      stride *= extents[i];
    }
    return strides;
  }

  /// Reads a tensor in the order of permuted dimensions and writes it row-major.
  static StridedCopy permuted(Shape from, List<Integer> permutation) {
    long[] strides = rowMajor(from.dims());
    long[] extents = new long[permutation.size()];
    long[] read = new long[extents.length];
    for (int i = 0; i < extents.length; i++) {
      extents[i] = from.dim(permutation.get(i));
      read[i] = strides[permutation.get(i)];
    }
    return StridedCopy.of(extents, read, rowMajor(extents), 0, 0);
  }

  private static StridedCopy broadcast(Shape from, Shape to, List<Integer> dims) {
    long[] strides = rowMajor(from.dims());
    long[] read = new long[to.rank()];
    for (int i = 0; i < dims.size(); i++) {
      boolean repeats = from.dim(i) == 1 && to.dim(dims.get(i)) != 1;
      read[dims.get(i)] = repeats ? 0 : strides[i];
    }
    long[] extents = to.dims();
    return StridedCopy.of(extents, read, rowMajor(extents), 0, 0);
  }

  private StridedCopy slice(List<Long> starts) {
    long[] strides = rowMajor(in.getFirst().type().shape().dims());
    long[] extents = out.type().shape().dims();
    long start = 0;
    for (int dim = 0; dim < extents.length; dim++) {
      start += starts.get(dim) * strides[dim];
    }
    return StridedCopy.of(extents, strides, rowMajor(extents), start, 0);
  }

  private void concat(int dim) {
    long[] strides = rowMajor(out.type().shape().dims());
    long start = 0;
    for (Value part : in) {
      long[] extents = part.type().shape().dims();
      copy(part, StridedCopy.of(extents, rowMajor(extents), strides, 0, start * strides[dim]));
      start += extents[dim];
    }
  }
}
