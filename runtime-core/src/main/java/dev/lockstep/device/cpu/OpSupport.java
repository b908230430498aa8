package dev.lockstep.device.cpu;

import dev.lockstep.device.Support;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import java.util.List;

/// Which ops the CPU device computes itself.
final class OpSupport {
  private static final Support YES = new Support.Yes();

  private OpSupport() {}

  static Support of(Op op, List<ValueType> operands) {
    return switch (op) {
      case Primitive primitive -> primitive(primitive, operands);
      case Composite composite -> composite(composite);
    };
  }

  private static Support primitive(Primitive primitive, List<ValueType> operands) {
    return switch (primitive) {
      case Primitive.Constant _, Primitive.Iota _, Primitive.Uniform _ -> YES;
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
          Primitive.ReduceSum _,
          Primitive.ReduceMax _ ->
          operands.getFirst().dtype().isInteger() ? YES : onlyF32(primitive, operands.getFirst());
      case Primitive.Less _, Primitive.Equal _, Primitive.Select _, Primitive.Convert _ -> YES;
      case Primitive.Reshape _,
          Primitive.Transpose _,
          Primitive.BroadcastTo _,
          Primitive.Slice _,
          Primitive.Concat _,
          Primitive.Gather _ ->
          YES;
      case Primitive.MatMul _ -> onlyF32(primitive, operands.getFirst());
      case Primitive.ScatterAdd _ -> onlyF32(primitive, operands.get(1));
      case Primitive.AllReduce _,
          Primitive.AllGather _,
          Primitive.ReduceScatter _,
          Primitive.BroadcastFrom _ ->
          new Support.No(
              "collectives are run by the host on the CPU device: op=" + primitive.label());
    };
  }

  private static Support onlyF32(Op op, ValueType type) {
    return type.dtype() == DType.F32
        ? YES
        : new Support.No(
            "the CPU device computes this in F32 only: op="
                + op.label()
                + ", operand="
                + type
                + " (convert it first)");
  }

  private static Support composite(Composite composite) {
    return switch (composite) {
      case Composite.CausalAttentionGrad(int _, Blocks queries) ->
          queries.outer() == 1
              ? YES
              : new Support.No("queries are cut within one sequence: blocks=" + queries);
      case Composite.GroupedAttentionGrad(int _, int _, long _, Blocks queries) ->
          queries.outer() == 1
              ? YES
              : new Support.No("queries are cut within one sequence: blocks=" + queries);
      case Composite.Linear _, Composite.Gelu _, Composite.GeluGrad _ -> YES;
      case Composite.Silu _, Composite.SiluGrad _ -> YES;
      case Composite.Dropout _ -> YES;
      case Composite.SwiGlu _, Composite.SwiGluGrad _ -> YES;
      case Composite.RmsNorm _, Composite.RmsNormGrad _, Composite.Rotary _ -> YES;
      case Composite.GroupedAttention _ -> YES;
      case Composite.LayerNorm _, Composite.LayerNormGrad _, Composite.CausalAttention _ -> YES;
      case Composite.CrossEntropy _, Composite.CrossEntropyGrad _ -> YES;
      case Composite.SquaredNorm _, Composite.AdamW _ -> YES;
    };
  }
}
