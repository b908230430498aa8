package dev.lockstep.device.cuda;

import dev.lockstep.device.Support;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import java.util.List;

/// Which ops have kernels.
final class CudaSupport {
  private static final Support YES = new Support.Yes();

  /// Leaves that the kernels' `Tree<LS_TREE_LEVELS>` holds.
  private static final int MOST_BLOCKS = 4095;

  private CudaSupport() {}

  static Support of(Op op, List<ValueType> operands) {
    return switch (op) {
      case Primitive primitive -> primitive(primitive, operands);
      case Composite composite -> composite(composite, operands);
    };
  }

  private static Support primitive(Primitive primitive, List<ValueType> operands) {
    return switch (primitive) {
      case Primitive.Constant _, Primitive.Iota _ -> YES;
      case Primitive.Uniform uniform -> box(primitive, uniform);
      case Primitive.Exp _,
          Primitive.Log _,
          Primitive.Tanh _,
          Primitive.Sqrt _,
          Primitive.Rsqrt _ ->
          onlyF32(primitive, operands.getFirst());
      case Primitive.Neg _,
          Primitive.Add _,
          Primitive.Sub _,
          Primitive.Mul _,
          Primitive.Div _,
          Primitive.Max _,
          Primitive.Min _,
          Primitive.ReduceMax _ ->
          operands.getFirst().dtype().isInteger() ? YES : onlyF32(primitive, operands.getFirst());
      case Primitive.Less _, Primitive.Equal _, Primitive.Select _, Primitive.Convert _ -> YES;
      case Primitive.Reshape _, Primitive.Gather _ -> YES;
      case Primitive.Transpose _, Primitive.BroadcastTo _, Primitive.Slice _, Primitive.Concat _ ->
          layout(primitive, operands);
      case Primitive.ReduceSum sum -> sum(sum, operands.getFirst());
      case Primitive.MatMul(var _, var _, Blocks blocks) ->
          joined(blocks, primitive, onlyF32(primitive, operands.getFirst()));
      case Primitive.ScatterAdd(var _, Blocks blocks) ->
          joined(blocks, primitive, onlyF32(primitive, operands.get(1)));
      case Primitive.AllReduce _,
          Primitive.AllGather _,
          Primitive.ReduceScatter _,
          Primitive.BroadcastFrom _ ->
          new Support.No(
              "collectives are run by the host on the CUDA device: op=" + primitive.label());
    };
  }

  private static Support sum(Primitive.ReduceSum sum, ValueType type) {
    if (type.dtype().isInteger()) {
      return YES;
    }
    Support support = onlyF32(sum, type);
    return ReduceLowering.areRows(type.shape(), sum.dims(), sum.blocks())
        ? support
        : joined(sum.blocks(), sum, support);
  }

  /// A support that stands if a kernel can join the sums of so many blocks.
  private static Support joined(Blocks blocks, Op op, Support otherwise) {
    return blocks.count() <= MOST_BLOCKS
        ? otherwise
        : new Support.No(
            "the CUDA device joins the sums of so many blocks at most: blocks=%d, most=%d, op=%s"
                .formatted(blocks.count(), MOST_BLOCKS, op.label()));
  }

  private static Support onlyF32(Op op, ValueType type) {
    return type.dtype() == DType.F32
        ? YES
        : new Support.No(
            "the CUDA device computes this in F32 only: op="
                + op.label()
                + ", operand="
                + type
                + " (convert it first)");
  }

  private static Support box(Op op, Primitive.Uniform uniform) {
    return RandomLowering.fits(uniform.part().shape()) ? YES : tooManyDimensions(op);
  }

  /// What has more dimensions than a kernel takes even if they are merged: eight that are moved.
  private static Support layout(Primitive op, List<ValueType> operands) {
    boolean fits =
        operands.stream().allMatch(type -> type.shape().rank() <= StridedCopy.MOST_DIMENSIONS);
    if (op instanceof Primitive.BroadcastTo(var to, var _)) {
      fits &= to.rank() <= StridedCopy.MOST_DIMENSIONS;
    }
    return fits ? YES : tooManyDimensions(op);
  }

  private static Support tooManyDimensions(Op op) {
    return new Support.No(
        "the CUDA device takes %d dimensions at most: op=%s"
            .formatted(StridedCopy.MOST_DIMENSIONS, op));
  }

  private static Support composite(Composite composite, List<ValueType> operands) {
    return switch (composite) {
      case Composite.CausalAttention(int heads) ->
          heads(operands.getFirst().shape().dim(2) / 3 / heads);
      case Composite.CausalAttentionGrad(int heads, Blocks queries) ->
          queries(queries, composite, operands.getFirst().shape().dim(2) / heads);
      case Composite.GroupedAttention(int heads, int _, long _) ->
          heads(operands.getFirst().shape().dim(2) / heads);
      case Composite.GroupedAttentionGrad(int heads, int _, long _, Blocks queries) ->
          queries(queries, composite, operands.getFirst().shape().dim(2) / heads);
      case Composite.Dropout dropout -> box(dropout, dropout.random());
      case Composite.Linear(var _, Blocks blocks) -> joined(blocks, composite, YES);
      case Composite.Gelu _, Composite.GeluGrad _ -> YES;
      case Composite.Silu _, Composite.SiluGrad _ -> YES;
      case Composite.SwiGlu _, Composite.SwiGluGrad _ -> YES;
      case Composite.RmsNorm _, Composite.LayerNorm _, Composite.Rotary _ -> YES;
      case Composite.RmsNormGrad(Blocks tokens) -> joined(tokens, composite, YES);
      case Composite.LayerNormGrad(Blocks tokens) -> joined(tokens, composite, YES);
      case Composite.CrossEntropy(Blocks tokens, Blocks vocabulary) ->
          joined(tokens, composite, joined(vocabulary, composite, YES));
      case Composite.CrossEntropyGrad _ -> YES;
      case Composite.SquaredNorm _, Composite.AdamW _ -> YES;
    };
  }

  private static Support queries(Blocks queries, Op op, long headSize) {
    return queries.outer() == 1
        ? joined(queries, op, heads(headSize))
        : new Support.No("queries are cut within one sequence: blocks=" + queries);
  }

  private static Support heads(long size) {
    return size <= AttentionLowering.MOST_HEAD_SIZE
        ? YES
        : new Support.No(
            "attention is written for heads of up to %d features: headSize=%d"
                .formatted(AttentionLowering.MOST_HEAD_SIZE, size));
  }
}
