package dev.lockstep.device.cpu;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Composite.AdamW;
import dev.lockstep.graph.Composite.CrossEntropy;
import dev.lockstep.graph.Composite.CrossEntropyGrad;
import dev.lockstep.graph.Composite.Dropout;
import dev.lockstep.graph.Composite.LayerNorm;
import dev.lockstep.graph.Composite.LayerNormGrad;
import dev.lockstep.graph.Composite.RmsNorm;
import dev.lockstep.graph.Composite.RmsNormGrad;
import dev.lockstep.graph.Composite.SquaredNorm;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.Part;
import dev.lockstep.graph.Primitive.Uniform;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/// Where the rows of an op lie: the operands and results whose first dimension counts the same
/// rows, none of which the others have anything to do with. A row is whatever stands behind one
/// index of that dimension: an element, a row of features, a sequence.
///
/// @param operands which operands have the rows
/// @param results which results have them
record RowCut(List<Integer> operands, List<Integer> results) {
  private static final List<Integer> FIRST = List.of(0);

  /// Returns the rows of an op, or nothing if it has none: if it joins them or has no operands.
  static Optional<RowCut> of(OpCase op) {
    Optional<RowCut> cut =
        switch (op.op()) {
          case Composite composite -> composite(composite);
          case Primitive primitive -> primitive(primitive, op.types());
        };
    return cut.filter(rows -> rows.count(op) > 1);
  }

  private static Optional<RowCut> of(List<Integer> operands, Integer... results) {
    return Optional.of(new RowCut(operands, List.of(results)));
  }

  private static Optional<RowCut> composite(Composite composite) {
    return switch (composite) {
      case Composite.Linear _, Composite.Gelu _, Composite.Silu _ -> of(FIRST, 0);
      case Composite.Rotary _, Dropout _ -> of(FIRST, 0);
      case Composite.GeluGrad _, Composite.SiluGrad _, Composite.SwiGlu _ -> of(List.of(0, 1), 0);
      case Composite.SwiGluGrad _ -> of(List.of(0, 1, 2), 0, 1);
      case LayerNorm _ -> of(FIRST, 0, 1, 2);
      case RmsNorm _, Composite.CausalAttention _ -> of(FIRST, 0, 1);
      // What gain and bias get are sums over the rows.
      case LayerNormGrad _ -> of(List.of(0, 1, 3, 4), 0);
      case RmsNormGrad _ -> of(List.of(0, 1, 3), 0);
      case Composite.CausalAttentionGrad _ -> of(List.of(0, 1, 2, 3), 0);
      case Composite.GroupedAttention _ -> of(List.of(0, 1, 2), 0, 1);
      case Composite.GroupedAttentionGrad _ -> of(List.of(0, 1, 2, 3, 4, 5), 0, 1, 2);
      // So are loss and count.
      case CrossEntropy _ -> of(List.of(0, 1), 2);
      case CrossEntropyGrad _ -> of(List.of(1, 2, 3), 0);
      case AdamW _ -> of(List.of(0, 1, 2, 3), 0, 1, 2);
      case SquaredNorm _ -> Optional.empty();
    };
  }

  private static Optional<RowCut> primitive(Primitive primitive, List<ValueType> types) {
    return switch (primitive) {
      case Primitive.Neg _, Primitive.Exp _, Primitive.Log _, Primitive.Tanh _ -> of(FIRST, 0);
      case Primitive.Sqrt _, Primitive.Rsqrt _, Primitive.Convert _ -> of(FIRST, 0);
      case Primitive.Add _, Primitive.Sub _, Primitive.Mul _, Primitive.Div _ ->
          of(List.of(0, 1), 0);
      case Primitive.Max _, Primitive.Min _, Primitive.Less _, Primitive.Equal _ ->
          of(List.of(0, 1), 0);
      case Primitive.Select _ -> of(List.of(0, 1, 2), 0);
      case Primitive.Transpose(List<Integer> dims) ->
          dims.getFirst() == 0 ? of(FIRST, 0) : Optional.empty();
      case Primitive.Concat(int dim) ->
          dim == 0 ? Optional.empty() : of(IntStream.range(0, types.size()).boxed().toList(), 0);
      case Primitive.ReduceSum(List<Integer> dims, Blocks _) ->
          dims.contains(0) ? Optional.empty() : of(FIRST, 0);
      case Primitive.ReduceMax(List<Integer> dims) ->
          dims.contains(0) ? Optional.empty() : of(FIRST, 0);
      case MatMul product -> product(product, types);
      case Primitive.Gather _ -> of(List.of(1), 0);
      case Uniform _ -> of(List.of(), 0);
      // Others have no operand with rows, add rows up, or name the extent of the rows themselves.
      case Primitive.Constant _, Primitive.Iota _, Primitive.ScatterAdd _ -> Optional.empty();
      case Primitive.Reshape _, Primitive.BroadcastTo _, Primitive.Slice _ -> Optional.empty();
      case Primitive.AllReduce _, Primitive.AllGather _ -> Optional.empty();
      case Primitive.ReduceScatter _, Primitive.BroadcastFrom _ -> Optional.empty();
    };
  }

  /// Rows of the left operand, or batches of both.
  private static Optional<RowCut> product(MatMul product, List<ValueType> types) {
    int rank = types.get(0).shape().rank();
    if (rank > 2 && types.get(1).shape().rank() == rank) {
      return of(List.of(0, 1), 0);
    }
    return product.transposeA() ? Optional.empty() : of(FIRST, 0);
  }

  /// Returns how many rows there are.
  int count(OpCase op) {
    Shape shape =
        switch (op.op()) {
          case Uniform uniform -> uniform.part().shape();
          default -> op.types().get(operands.getFirst()).shape();
        };
    return shape.rank() == 0 ? 0 : Math.toIntExact(shape.dim(0));
  }

  /// Returns the op on one row alone.
  OpCase alone(OpCase op, int row) {
    List<ValueType> types = new ArrayList<>(op.types());
    List<double[]> elements = new ArrayList<>(op.operands());
    for (int operand : operands) {
      ValueType type = types.get(operand);
      types.set(operand, new ValueType(type.dtype(), type.shape().with(0, 1)));
      elements.set(operand, row(elements.get(operand), row, count(op)));
    }
    return new OpCase(ofRow(op.op(), row), types, elements);
  }

  /// Returns the op where every number of the other rows is NaN; whole numbers stay.
  OpCase amongNaN(OpCase op, int row) {
    List<double[]> elements = new ArrayList<>(op.operands());
    for (int operand : operands) {
      if (op.types().get(operand).dtype().isFloat()) {
        double[] own = row(elements.get(operand), row, count(op));
        double[] all = new double[elements.get(operand).length];
        Arrays.fill(all, Double.NaN);
        System.arraycopy(own, 0, all, row * own.length, own.length);
        elements.set(operand, all);
      }
    }
    return new OpCase(op.op(), op.types(), elements);
  }

  /// Returns one row's elements.
  static double[] row(double[] elements, int row, int rows) {
    int each = elements.length / rows;
    return Arrays.copyOfRange(elements, row * each, (row + 1) * each);
  }

  /// The op as it is for a row alone: sums over rows are no longer cut, and random numbers are
  /// those of the row's place.
  private static Op ofRow(Op op, int row) {
    return switch (op) {
      case LayerNormGrad _ -> new LayerNormGrad(Blocks.WHOLE);
      case RmsNormGrad _ -> new RmsNormGrad(Blocks.WHOLE);
      case CrossEntropy(Blocks _, Blocks vocabulary) -> new CrossEntropy(Blocks.WHOLE, vocabulary);
      case Dropout(float rate, Uniform random) -> new Dropout(rate, place(random, row));
      case Uniform random -> place(random, row);
      default -> op;
    };
  }

  private static Uniform place(Uniform random, int row) {
    Part part = random.part();
    List<Long> starts = new ArrayList<>(part.starts());
    starts.set(0, starts.getFirst() + row);
    Part own = new Part(part.whole(), starts, part.shape().with(0, 1));
    return new Uniform(own, random.seed(), random.tensor());
  }
}
