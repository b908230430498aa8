package dev.lockstep.graph;

import dev.lockstep.graph.Composite.AdamW;
import dev.lockstep.graph.Composite.CausalAttention;
import dev.lockstep.graph.Composite.CausalAttentionGrad;
import dev.lockstep.graph.Composite.CrossEntropy;
import dev.lockstep.graph.Composite.CrossEntropyGrad;
import dev.lockstep.graph.Composite.Dropout;
import dev.lockstep.graph.Composite.Gelu;
import dev.lockstep.graph.Composite.GeluGrad;
import dev.lockstep.graph.Composite.GroupedAttention;
import dev.lockstep.graph.Composite.GroupedAttentionGrad;
import dev.lockstep.graph.Composite.LayerNorm;
import dev.lockstep.graph.Composite.LayerNormGrad;
import dev.lockstep.graph.Composite.Linear;
import dev.lockstep.graph.Composite.RmsNorm;
import dev.lockstep.graph.Composite.RmsNormGrad;
import dev.lockstep.graph.Composite.Rotary;
import dev.lockstep.graph.Composite.Silu;
import dev.lockstep.graph.Composite.SiluGrad;
import dev.lockstep.graph.Composite.SquaredNorm;
import dev.lockstep.graph.Composite.SwiGlu;
import dev.lockstep.graph.Composite.SwiGluGrad;
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
import dev.lockstep.tensor.Shape;
import java.util.List;

/// What an op costs: arithmetic, and bytes that its operands and results have (what must move when
/// nothing is kept in caches).
///
/// Every arithmetic operation on one element counts 1, the exponential and its like too; a product
/// of matrices counts `2·M·N·K`; moving and comparing count 0.
///
/// @param flops arithmetic operations
/// @param bytes bytes of all operands and results
public record Cost(long flops, long bytes) {
  /// What a sine and a cosine of one angle take.
  private static final long ANGLE_FLOPS = 50;

  /// What a quarter of ten rounds on four words takes.
  private static final long RANDOM_FLOPS = 20;

  /// Nothing.
  public static final Cost ZERO = new Cost(0, 0);

  /// Returns the sum.
  public Cost plus(Cost other) {
    return new Cost(flops + other.flops, bytes + other.bytes);
  }

  /// Returns the cost of `op` on operands of these types.
  ///
  /// @throws IllegalArgumentException if the operands do not fit
  public static Cost of(Op op, List<ValueType> operands) {
    List<ValueType> results = ShapeInference.infer(op, operands);
    long bytes = 0;
    for (ValueType type : operands) {
      bytes += type.bytes();
    }
    for (ValueType type : results) {
      bytes += type.bytes();
    }
    long flops =
        switch (op) {
          case Primitive primitive -> flops(primitive, operands, results.getFirst());
          case Composite composite -> flops(composite, operands);
        };
    return new Cost(flops, bytes);
  }

  /// Returns the cost of one node.
  public static Cost of(Node node) {
    return of(node.op(), node.inputs().stream().map(Value::type).toList());
  }

  /// Returns the sum over the nodes of a graph.
  public static Cost of(Graph graph) {
    Cost total = ZERO;
    for (Node node : graph.nodes()) {
      total = total.plus(of(node));
    }
    return total;
  }

  private static long flops(Primitive primitive, List<ValueType> in, ValueType result) {
    long elements = result.shape().elements();
    return switch (primitive) {
      case Constant _, Iota _, Convert _, Reshape _, Transpose _, BroadcastTo _ -> 0;
      case Slice _, Concat _, Gather _, AllGather _, BroadcastFrom _ -> 0;
      case Less _, Equal _, Select _, Max _, Min _, ReduceMax _ -> 0;
      case Neg _, Exp _, Log _, Tanh _, Sqrt _, Add _, Sub _, Mul _, Div _ -> elements;
      case Rsqrt _ -> 2 * elements;
      case Uniform _ -> RANDOM_FLOPS * elements;
      case ReduceSum _ -> in.getFirst().shape().elements();
      case MatMul matMul -> product(in.get(0).shape(), matMul.transposeA(), elements);
      case ScatterAdd _ -> in.get(1).shape().elements();
      case AllReduce(String _, ReduceOp _, LaneSplit lanes) ->
          joins(lanes) * in.getFirst().shape().elements();
      case ReduceScatter(String _, ReduceOp _, LaneSplit lanes, int _) -> joins(lanes) * elements;
    };
  }

  /// How many subtrees are joined to one.
  private static long joins(LaneSplit lanes) {
    return lanes.ranks().stream().mapToLong(List::size).sum() - 1;
  }

  private static long product(Shape left, boolean transposed, long results) {
    return 2 * results * left.dim(transposed ? -2 : -1);
  }

  private static long flops(Composite composite, List<ValueType> in) {
    Shape first = in.getFirst().shape();
    long elements = first.elements();
    return switch (composite) {
      case Linear _ -> {
        long results = first.rank() == 0 ? 0 : rows(first) * in.get(2).shape().elements();
        yield product(first, false, results) + results;
      }
      case Gelu _ -> 9 * elements;
      case GeluGrad _ -> 16 * elements;
      case LayerNorm _ -> 8 * elements + 3 * rows(first);
      case LayerNormGrad _ -> 14 * elements + 2 * rows(first);
      case Silu _ -> 4 * elements;
      case SiluGrad _ -> 8 * elements;
      case SwiGlu _ -> 5 * elements;
      case SwiGluGrad _ -> 11 * elements;
      case Dropout _ -> (RANDOM_FLOPS + 1) * elements;
      case RmsNorm _ -> 4 * elements + 3 * rows(first);
      case RmsNormGrad _ -> 9 * elements + rows(first);
      case Rotary(int size, float _, long _, boolean _) ->
          3 * elements + first.dim(1) * (size / 2) * ANGLE_FLOPS;
      case CausalAttention(int heads) -> attention(first, heads, 2, 5);
      case CausalAttentionGrad(int heads, Blocks _) -> attention(in.get(1).shape(), heads, 5, 6);
      case GroupedAttention(int heads, int _, long queries) ->
          scores(first, heads, queries) * (4 * first.dim(2) / heads + 5);
      case GroupedAttentionGrad(int heads, int _, long queries, Blocks _) ->
          scores(first, heads, queries) * (10 * first.dim(2) / heads + 6);
      case CrossEntropy _ -> 3 * elements + 4 * rows(first);
      case CrossEntropyGrad _ -> 4 * in.get(1).shape().elements();
      case SquaredNorm _ -> 2 * in.stream().mapToLong(type -> type.shape().elements()).sum();
      case AdamW _ -> 17 * elements;
    };
  }

  private static long rows(Shape shape) {
    return shape.dim(-1) == 0 ? 0 : shape.elements() / shape.dim(-1);
  }

  /// Work on the lower triangle of the scores: `products` products of matrices and `each`
  /// operations per score.
  private static long attention(Shape qkv, int heads, int products, int each) {
    long size = qkv.dim(2) / 3 / heads;
    return scores(qkv, heads, 0) * (2L * products * size + each);
  }

  /// How many pairs of a query and a key that it sees there are.
  private static long scores(Shape q, int heads, long firstQuery) {
    return q.dim(0) * heads * (q.dim(1) * (q.dim(1) + 1) / 2 + q.dim(1) * firstQuery);
  }
}
