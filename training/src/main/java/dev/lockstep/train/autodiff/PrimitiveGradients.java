package dev.lockstep.train.autodiff;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.AllGather;
import dev.lockstep.graph.Primitive.AllReduce;
import dev.lockstep.graph.Primitive.BroadcastFrom;
import dev.lockstep.graph.Primitive.BroadcastTo;
import dev.lockstep.graph.Primitive.Concat;
import dev.lockstep.graph.Primitive.Constant;
import dev.lockstep.graph.Primitive.Convert;
import dev.lockstep.graph.Primitive.Div;
import dev.lockstep.graph.Primitive.Equal;
import dev.lockstep.graph.Primitive.Exp;
import dev.lockstep.graph.Primitive.Gather;
import dev.lockstep.graph.Primitive.Iota;
import dev.lockstep.graph.Primitive.Less;
import dev.lockstep.graph.Primitive.Log;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.Max;
import dev.lockstep.graph.Primitive.Min;
import dev.lockstep.graph.Primitive.Mul;
import dev.lockstep.graph.Primitive.Neg;
import dev.lockstep.graph.Primitive.ReduceMax;
import dev.lockstep.graph.Primitive.ReduceScatter;
import dev.lockstep.graph.Primitive.ReduceSum;
import dev.lockstep.graph.Primitive.Reshape;
import dev.lockstep.graph.Primitive.Rsqrt;
import dev.lockstep.graph.Primitive.ScatterAdd;
import dev.lockstep.graph.Primitive.Select;
import dev.lockstep.graph.Primitive.Slice;
import dev.lockstep.graph.Primitive.Sqrt;
import dev.lockstep.graph.Primitive.Sub;
import dev.lockstep.graph.Primitive.Tanh;
import dev.lockstep.graph.Primitive.Transpose;
import dev.lockstep.graph.Primitive.Uniform;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/// Gradients of primitives.
final class PrimitiveGradients {
  private final GraphBuilder builder;
  private final GradientBlocks blocks;
  private final NodeGradients node;
  private final Value dy;

  PrimitiveGradients(GraphBuilder builder, GradientBlocks blocks, NodeGradients node) {
    this.builder = builder;
    this.blocks = blocks;
    this.node = node;
    this.dy = node.gradient();
  }

  void differentiate(Primitive primitive) {
    switch (primitive) {
      case Constant _,
          Iota _,
          Uniform _,
          Less _,
          Equal _ -> {} // no operand, or constant almost everywhere
      case Neg _ -> node.give(0, one(new Neg(), dy));
      case Exp _ -> node.give(0, mul(dy, y()));
      case Log _ -> node.give(0, div(dy, node.operand(0)));
      case Tanh _ -> node.give(0, mul(dy, one(new Sub(), like(y(), 1), mul(y(), y()))));
      case Sqrt _ -> node.give(0, div(mul(dy, like(y(), 0.5)), y()));
      case Rsqrt _ -> node.give(0, mul(mul(dy, like(y(), -0.5)), mul(mul(y(), y()), y())));
      case Add _ -> both(dy, dy);
      case Sub _ -> sub();
      case Mul _ -> product();
      case Div _ -> quotient(y());
      case Max _ -> chosen(one(new Less(), node.operand(0), node.operand(1)));
      case Min _ -> chosen(one(new Less(), node.operand(1), node.operand(0)));
      case Select _ -> select();
      case Convert _ -> convert();
      case Reshape _ -> node.give(0, one(new Reshape(node.shape(0)), dy));
      case Transpose(List<Integer> permutation) -> transpose(permutation);
      case BroadcastTo(Shape to, List<Integer> dims) -> broadcast(to, dims);
      case Slice(List<Long> starts, List<Long> limits) -> slice(starts, limits);
      case Concat(int dim) -> concat(dim);
      case ReduceSum(List<Integer> dims, Blocks _) -> node.give(0, repeated(dy, dims));
      case ReduceMax(List<Integer> dims) -> reduceMax(y(), dims);
      case MatMul matMul -> new ProductGradients(builder, blocks, node).differentiate(matMul);
      case Gather _ -> gather();
      case ScatterAdd _ -> scatterAdd();
      case AllReduce _, AllGather _, ReduceScatter _, BroadcastFrom _ -> throw refusal(primitive);
    }
  }

  /// The node's result, read only where the gradient needs it: it may have to be computed again.
  private Value y() {
    return node.result(0);
  }

  /// Layouts rewrite a lane's whole program, gradients included; what is differentiated is the
  /// program of one lane on one rank.
  private static IllegalArgumentException refusal(Primitive collective) {
    return new IllegalArgumentException(
        "collective has no gradient: op="
            + collective
            + " (differentiate the lane program before it is laid out over ranks)");
  }

  private void both(Value first, Value second) {
    node.give(0, first);
    node.give(1, second);
  }

  private void sub() {
    node.give(0, dy);
    if (node.needs(1)) {
      node.give(1, one(new Neg(), dy));
    }
  }

  private void product() {
    for (int operand = 0; operand < 2; operand++) {
      if (node.needs(operand)) {
        node.give(operand, mul(dy, node.operand(1 - operand)));
      }
    }
  }

  private void quotient(Value y) {
    Value scaled = div(dy, node.operand(1));
    node.give(0, scaled);
    if (node.needs(1)) {
      node.give(1, one(new Neg(), mul(scaled, y)));
    }
  }

  /// The gradient goes to the second operand where `second`, else to the first (so on ties).
  private void chosen(Value second) {
    Value zero = like(dy, 0);
    both(one(new Select(), second, zero, dy), one(new Select(), second, dy, zero));
  }

  private void select() {
    Value zero = like(dy, 0);
    Value condition = node.operand(0);
    for (int operand = 1; operand <= 2; operand++) {
      if (node.needs(operand)) {
        boolean first = operand == 1;
        node.give(operand, one(new Select(), condition, first ? dy : zero, first ? zero : dy));
      }
    }
  }

  private void convert() {
    DType from = node.operand(0).type().dtype();
    if (from.isFloat() && dy.type().dtype().isFloat()) {
      node.give(0, one(new Convert(from), dy));
    }
  }

  private void transpose(List<Integer> permutation) {
    List<Integer> inverse =
        IntStream.range(0, permutation.size()).mapToObj(permutation::indexOf).toList();
    node.give(0, one(new Transpose(inverse), dy));
  }

  /// Sums what was repeated. Where all but the features were (a bias over tokens), the sum is one
  /// over tokens; where a table of positions was repeated over sequences, it is one ascending chain
  /// over the sequences.
  private void broadcast(Shape to, List<Integer> dims) {
    Shape from = node.shape(0);
    List<Integer> summed = new ArrayList<>();
    long extent = 1;
    for (int dim = 0; dim < to.rank(); dim++) {
      int source = dims.indexOf(dim);
      if (source < 0 || from.dim(source) != to.dim(dim)) {
        summed.add(dim);
        extent *= to.dim(dim);
      }
    }
    boolean allButFeatures =
        summed.size() >= to.rank() - 1 && !summed.equals(List.of(to.rank() - 1));
    Blocks cut = allButFeatures ? blocks.tokensIfWhole(extent) : Blocks.WHOLE;
    Value sum = summed.isEmpty() ? dy : one(new ReduceSum(summed, cut), dy);
    node.give(0, reshaped(sum, from));
  }

  /// Puts zeros around.
  private void slice(List<Long> starts, List<Long> limits) {
    Value padded = dy;
    for (int dim = 0; dim < starts.size(); dim++) {
      List<Value> parts = new ArrayList<>();
      zeros(padded, dim, starts.get(dim), parts);
      parts.add(padded);
      zeros(padded, dim, node.shape(0).dim(dim) - limits.get(dim), parts);
      padded = parts.size() == 1 ? padded : builder.apply(new Concat(dim), parts).getFirst();
    }
    node.give(0, padded);
  }

  private void zeros(Value like, int dim, long extent, List<Value> parts) {
    if (extent > 0) {
      Shape shape = like.type().shape().with(dim, extent);
      parts.add(one(new Constant(new ValueType(like.type().dtype(), shape), 0)));
    }
  }

  private void concat(int dim) {
    long start = 0;
    for (int operand = 0; operand < node.operands().size(); operand++) {
      long limit = start + node.shape(operand).dim(dim);
      if (node.needs(operand)) {
        node.give(operand, part(dim, start, limit));
      }
      start = limit;
    }
  }

  private Value part(int dim, long start, long limit) {
    Shape shape = dy.type().shape();
    List<Long> starts = new ArrayList<>();
    List<Long> limits = new ArrayList<>();
    for (int i = 0; i < shape.rank(); i++) {
      starts.add(i == dim ? start : 0);
      limits.add(i == dim ? limit : shape.dim(i));
    }
    return one(new Slice(starts, limits), dy);
  }

  /// Repeats a reduced value over the reduced dimensions of operand 0.
  private Value repeated(Value reduced, List<Integer> dims) {
    Shape to = node.shape(0);
    List<Integer> kept =
        IntStream.range(0, to.rank()).filter(dim -> !dims.contains(dim)).boxed().toList();
    return one(new BroadcastTo(to, kept), reduced);
  }

  /// Equal greatest elements share the gradient.
  private void reduceMax(Value y, List<Integer> dims) {
    Value x = node.operand(0);
    Value greatest = one(new Equal(), x, repeated(y, dims));
    Value zero = like(x, 0);
    Value ones = one(new Select(), greatest, like(x, 1), zero);
    Value share = div(dy, one(new ReduceSum(dims, Blocks.WHOLE), ones));
    node.give(0, one(new Select(), greatest, repeated(share, dims), zero));
  }

  /// Each row of the table sums the gradients of its uses in index order.
  private void gather() {
    Shape table = node.shape(0);
    Shape ids = node.shape(1);
    long rows = table.dim(0);
    long features = 1;
    for (int dim = 1; dim < table.rank(); dim++) {
      features *= table.dim(dim);
    }
    long[] dims = Arrays.copyOf(ids.dims(), ids.rank() + 1);
    dims[ids.rank()] = features;
    Value updates = reshaped(dy, Shape.of(dims));
    Blocks order = blocks.tokensIfWhole(ids.elements());
    node.give(0, reshaped(one(new ScatterAdd(rows, order), node.operand(1), updates), table));
  }

  private void scatterAdd() {
    if (node.needs(1)) {
      node.give(1, one(new Gather(), dy, node.operand(0)));
    }
  }

  private Value reshaped(Value x, Shape to) {
    return x.type().shape().equals(to) ? x : one(new Reshape(to), x);
  }

  private Value one(Op op, Value... operands) {
    return builder.one(op, operands);
  }

  private Value mul(Value a, Value b) {
    return one(new Mul(), a, b);
  }

  private Value div(Value a, Value b) {
    return one(new Div(), a, b);
  }

  private Value like(Value x, double value) {
    return one(new Constant(x.type(), value));
  }
}
