package dev.lockstep.graph;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.List;

/// Short names for the primitives that decompositions are made of.
final class Emitter {
  private final GraphBuilder builder;

  Emitter(GraphBuilder builder) {
    this.builder = builder;
  }

  Value constant(ValueType type, double value) {
    return builder.one(new Primitive.Constant(type, value));
  }

  /// A constant of the type of `like`.
  Value constant(Value like, double value) {
    return constant(like.type(), value);
  }

  Value uniform(Primitive.Uniform op, Value step, Value lane) {
    return builder.one(op, step, lane);
  }

  Value iota(ValueType type, int dim) {
    return builder.one(new Primitive.Iota(type, dim));
  }

  Value neg(Value x) {
    return builder.one(new Primitive.Neg(), x);
  }

  Value exp(Value x) {
    return builder.one(new Primitive.Exp(), x);
  }

  Value log(Value x) {
    return builder.one(new Primitive.Log(), x);
  }

  Value tanh(Value x) {
    return builder.one(new Primitive.Tanh(), x);
  }

  Value sqrt(Value x) {
    return builder.one(new Primitive.Sqrt(), x);
  }

  Value rsqrt(Value x) {
    return builder.one(new Primitive.Rsqrt(), x);
  }

  Value add(Value a, Value b) {
    return builder.one(new Primitive.Add(), a, b);
  }

  Value add(Value a, double b) {
    return add(a, constant(a, b));
  }

  Value sub(Value a, Value b) {
    return builder.one(new Primitive.Sub(), a, b);
  }

  Value mul(Value a, Value b) {
    return builder.one(new Primitive.Mul(), a, b);
  }

  Value mul(Value a, double b) {
    return mul(a, constant(a, b));
  }

  Value div(Value a, Value b) {
    return builder.one(new Primitive.Div(), a, b);
  }

  Value less(Value a, Value b) {
    return builder.one(new Primitive.Less(), a, b);
  }

  Value equal(Value a, Value b) {
    return builder.one(new Primitive.Equal(), a, b);
  }

  Value select(Value condition, Value a, Value b) {
    return builder.one(new Primitive.Select(), condition, a, b);
  }

  Value reshape(Value x, Shape to) {
    return builder.one(new Primitive.Reshape(to), x);
  }

  Value transpose(Value x, Integer... permutation) {
    return builder.one(new Primitive.Transpose(List.of(permutation)), x);
  }

  Value concat(int dim, List<Value> parts) {
    return parts.size() == 1
        ? parts.getFirst()
        : builder.apply(new Primitive.Concat(dim), parts).getFirst();
  }

  /// The elements of `x` whose index along `dim` lies in `[start, limit)`.
  Value slice(Value x, int dim, long start, long limit) {
    Shape shape = x.type().shape();
    if (start == 0 && limit == shape.dim(dim)) {
      return x;
    }
    List<Long> starts = new ArrayList<>();
    List<Long> limits = new ArrayList<>();
    for (int i = 0; i < shape.rank(); i++) {
      starts.add(i == dim ? start : 0);
      limits.add(i == dim ? limit : shape.dim(i));
    }
    return builder.one(new Primitive.Slice(starts, limits), x);
  }

  Value matMul(Value a, boolean transposeA, Value b, boolean transposeB, Blocks contraction) {
    return builder.one(new Primitive.MatMul(transposeA, transposeB, contraction), a, b);
  }

  Value convert(Value x, DType to) {
    return builder.one(new Primitive.Convert(to), x);
  }

  /// Repeats `x` over `to`, its dimensions at `dims`.
  Value broadcast(Value x, Shape to, List<Integer> dims) {
    return builder.one(new Primitive.BroadcastTo(to, dims), x);
  }

  /// Repeats a scalar over `to`.
  Value fill(Value scalar, Shape to) {
    return builder.one(new Primitive.BroadcastTo(to, List.of()), scalar);
  }

  /// Repeats `[C]` over the rows of `to` `[…, C]`.
  Value overRows(Value vector, Shape to) {
    return builder.one(new Primitive.BroadcastTo(to, List.of(to.rank() - 1)), vector);
  }

  /// Repeats one number per row, `[…]`, over the columns of `to` `[…, C]`.
  Value overColumns(Value perRow, Shape to) {
    return builder.one(new Primitive.BroadcastTo(to, leading(to)), perRow);
  }

  /// Sums each row of `[…, C]`.
  Value sumRows(Value x, Blocks blocks) {
    return builder.one(new Primitive.ReduceSum(List.of(x.type().shape().rank() - 1), blocks), x);
  }

  /// Sums each column of `[…, C]` over all rows.
  Value sumColumns(Value x, Blocks blocks) {
    return builder.one(new Primitive.ReduceSum(leading(x.type().shape()), blocks), x);
  }

  /// Sums everything.
  Value sum(Value x, Blocks blocks) {
    List<Integer> dims = new ArrayList<>(leading(x.type().shape()));
    if (x.type().shape().rank() > 0) {
      dims.add(dims.size());
    }
    return builder.one(new Primitive.ReduceSum(dims, blocks), x);
  }

  /// The greatest of each row of `[…, C]`.
  Value maxRows(Value x) {
    return builder.one(new Primitive.ReduceMax(List.of(x.type().shape().rank() - 1)), x);
  }

  /// The sum of the leaves, joined by [SumTree]; `zero` if there are none.
  Value join(List<Value> leaves, ValueType zero) {
    if (leaves.isEmpty()) {
      return constant(zero, 0);
    }
    if (leaves.size() == 1) {
      return leaves.getFirst();
    }
    int left = SumTree.left(leaves.size());
    return add(
        join(leaves.subList(0, left), zero), join(leaves.subList(left, leaves.size()), zero));
  }

  static ValueType i32(Shape shape) {
    return new ValueType(DType.I32, shape);
  }

  private static List<Integer> leading(Shape shape) {
    List<Integer> dims = new ArrayList<>();
    for (int dim = 0; dim < shape.rank() - 1; dim++) {
      dims.add(dim);
    }
    return dims;
  }
}
