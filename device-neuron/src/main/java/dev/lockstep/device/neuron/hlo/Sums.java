package dev.lockstep.device.neuron.hlo;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.ReduceSum;
import dev.lockstep.graph.Primitive.ScatterAdd;
import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.BinaryOperator;
import java.util.function.IntFunction;

/// Sums in blocks: each block is one reduction, product or scatter of its own, and additions in the
/// order of [SumTree] join them. Floats narrower than F32 are summed in F32 and rounded once.
final class Sums {
  private final Computation emit;

  Sums(Computation emit) {
    this.emit = emit;
  }

  /// Joins values by the tree T(n).
  static <T> T tree(List<T> leaves, BinaryOperator<T> join) {
    if (leaves.size() == 1) {
      return leaves.getFirst();
    }
    int left = SumTree.left(leaves.size());
    return join.apply(
        tree(leaves.subList(0, left), join), tree(leaves.subList(left, leaves.size()), join));
  }

  Hlo add(Hlo a, Hlo b) {
    return emit.binary("add", a, b);
  }

  /// The type in which floats are computed with that keep few bits.
  static DType wide(DType dtype) {
    return dtype.isFloat() && dtype.bytes() < DType.F32.bytes() ? DType.F32 : dtype;
  }

  /// The join of the blocks' sums; a block without elements is a zero.
  private Hlo blocks(
      Blocks blocks, long extent, ValueType type, IntFunction<Hlo> sumOfBlock, DType to) {
    List<Hlo> sums = new ArrayList<>();
    for (int block = 0; block < blocks.count(); block++) {
      boolean isEmpty = blocks.start(block, extent) == blocks.start(block + 1, extent);
      sums.add(isEmpty ? emit.fill(type, 0) : sumOfBlock.apply(block));
    }
    return emit.convert(tree(sums, this::add), to);
  }

  /// The elements of `x` that lie in a block of dimension `dim`, the outer slices one after
  /// another.
  private Hlo block(Hlo x, int dim, Blocks blocks, int block) {
    if (blocks.count() == 1) {
      return x;
    }
    long extent = x.shape().dim(dim);
    long start = blocks.start(block, extent);
    long limit = blocks.start(block + 1, extent);
    if (blocks.outer() == 1) {
      return emit.slice(x, dim, start, limit);
    }
    Hlo apart = emit.reshape(x, cut(x.shape(), dim, blocks.outer()));
    Hlo part = emit.slice(apart, dim + 1, start, limit);
    return emit.reshape(part, x.shape().with(dim, blocks.outer() * (limit - start)));
  }

  /// Dimension `dim` as two, the first of `outer`.
  private static Shape cut(Shape shape, int dim, long outer) {
    long[] dims = shape.dims();
    long[] two = new long[dims.length + 1];
    System.arraycopy(dims, 0, two, 0, dim);
    two[dim] = outer;
    two[dim + 1] = dims[dim] / outer;
    System.arraycopy(dims, dim + 1, two, dim + 2, dims.length - dim - 1);
    return Shape.of(two);
  }

  Hlo reduceSum(ReduceSum op, Hlo x, ValueType type) {
    if (op.dims().isEmpty()) {
      return x;
    }
    ValueType sum = new ValueType(wide(type.dtype()), type.shape());
    Hlo widened = emit.convert(x, sum.dtype());
    if (op.blocks().count() == 1) {
      long[] dims = op.dims().stream().mapToLong(Integer::longValue).toArray();
      return emit.convert(emit.reduce(widened, "add", 0, dims), type.dtype());
    }
    // The summed dimensions as one: moved behind the others unless they stand together.
    int first = op.dims().getFirst();
    boolean together = op.dims().getLast() - first == op.dims().size() - 1;
    Hlo ordered = together ? widened : summedLast(widened, op.dims());
    int at = together ? first : type.shape().rank();
    Hlo merged = emit.reshape(ordered, merged(ordered.shape(), at, op.dims().size()));
    long extent = merged.shape().dim(at);
    return blocks(
        op.blocks(),
        extent,
        sum,
        i -> emit.reduce(block(merged, at, op.blocks(), i), "add", 0, at),
        type.dtype());
  }

  private Hlo summedLast(Hlo x, List<Integer> dims) {
    List<Long> order = new ArrayList<>();
    List<Long> extents = new ArrayList<>();
    for (boolean summed : new boolean[] {false, true}) {
      for (int dim = 0; dim < x.shape().rank(); dim++) {
        if (dims.contains(dim) == summed) {
          order.add((long) dim);
          extents.add(x.shape().dim(dim));
        }
      }
    }
    return emit.transpose(
        x, Shape.of(extents), order.stream().mapToLong(Long::longValue).toArray());
  }

  private static Shape merged(Shape shape, int at, int count) {
    long[] dims = shape.dims();
    long extent = Arrays.stream(dims, at, at + count).reduce(1, (a, b) -> a * b);
    long[] all = new long[dims.length - count + 1];
    System.arraycopy(dims, 0, all, 0, at);
    all[at] = extent;
    System.arraycopy(dims, at + count, all, at + 1, dims.length - at - count);
    return Shape.of(all);
  }

  Hlo matMul(MatMul op, Hlo a, Hlo b, ValueType type) {
    int rank = a.shape().rank();
    int rightRank = b.shape().rank();
    boolean isShared = rightRank < rank;
    int left = op.transposeA() ? rank - 2 : rank - 1;
    int right = op.transposeB() ? rightRank - 1 : rightRank - 2;
    long[] batch = new long[isShared ? 0 : rank - 2];
    Arrays.setAll(batch, i -> i);
    ValueType sum = new ValueType(wide(type.dtype()), type.shape());
    Blocks blocks = op.contraction();
    return blocks(
        blocks,
        a.shape().dim(left),
        sum,
        i ->
            emit.dot(
                block(a, left, blocks, i),
                block(b, right, blocks, i),
                sum,
                numbers ->
                    numbers.packed(1, left).packed(2, right).packed(3, batch).packed(4, batch)),
        type.dtype());
  }

  Hlo scatterAdd(ScatterAdd op, Hlo ids, Hlo updates, ValueType type) {
    ValueType sum = new ValueType(wide(type.dtype()), type.shape());
    long count = ids.shape().elements();
    Hlo flatIds = emit.reshape(ids, Shape.of(count));
    Hlo rows =
        emit.reshape(emit.convert(updates, sum.dtype()), Shape.of(count, type.shape().dim(1)));
    return blocks(
        op.order(),
        count,
        sum,
        i ->
            emit.scatterAddRows(
                emit.fill(sum, 0), block(flatIds, 0, op.order(), i), block(rows, 0, op.order(), i)),
        type.dtype());
  }
}
