package dev.lockstep.graph;

import static dev.lockstep.graph.ValueType.f32;
import static dev.lockstep.graph.ValueType.i32;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import dev.lockstep.graph.Composite.AdamW;
import dev.lockstep.graph.Composite.CausalAttention;
import dev.lockstep.graph.Composite.CausalAttentionGrad;
import dev.lockstep.graph.Composite.CrossEntropy;
import dev.lockstep.graph.Composite.CrossEntropyGrad;
import dev.lockstep.graph.Composite.GeluGrad;
import dev.lockstep.graph.Composite.GroupedAttention;
import dev.lockstep.graph.Composite.GroupedAttentionGrad;
import dev.lockstep.graph.Composite.LayerNorm;
import dev.lockstep.graph.Composite.LayerNormGrad;
import dev.lockstep.graph.Composite.Linear;
import dev.lockstep.graph.Composite.RmsNorm;
import dev.lockstep.graph.Composite.RmsNormGrad;
import dev.lockstep.graph.Composite.Rotary;
import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.Composite.SquaredNorm;
import dev.lockstep.graph.Composite.SwiGlu;
import dev.lockstep.graph.Composite.SwiGluGrad;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.AllGather;
import dev.lockstep.graph.Primitive.AllReduce;
import dev.lockstep.graph.Primitive.BroadcastTo;
import dev.lockstep.graph.Primitive.Concat;
import dev.lockstep.graph.Primitive.Constant;
import dev.lockstep.graph.Primitive.Convert;
import dev.lockstep.graph.Primitive.Exp;
import dev.lockstep.graph.Primitive.Gather;
import dev.lockstep.graph.Primitive.Iota;
import dev.lockstep.graph.Primitive.Less;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.ReduceMax;
import dev.lockstep.graph.Primitive.ReduceScatter;
import dev.lockstep.graph.Primitive.ReduceSum;
import dev.lockstep.graph.Primitive.Reshape;
import dev.lockstep.graph.Primitive.ScatterAdd;
import dev.lockstep.graph.Primitive.Select;
import dev.lockstep.graph.Primitive.Slice;
import dev.lockstep.graph.Primitive.Transpose;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class ShapeInferenceTest {
  private static final Blocks WHOLE = Blocks.WHOLE;
  private static final ReduceOp SUM = new ReduceOp.Sum();

  static Stream<Arguments> fits() {
    return Stream.concat(primitives(), composites());
  }

  private static Stream<Arguments> primitives() {
    ValueType bools = new ValueType(DType.BOOL, Shape.of(2, 3));
    return Stream.of(
        fit(new Constant(i32(3), 1), List.of(), i32(3)),
        fit(new Iota(i32(2, 3), 1), List.of(), i32(2, 3)),
        fit(new Add(), List.of(f32(2, 3), f32(2, 3)), f32(2, 3)),
        fit(new Less(), List.of(i32(2, 3), i32(2, 3)), bools),
        fit(new Select(), List.of(bools, i32(2, 3), i32(2, 3)), i32(2, 3)),
        fit(new Convert(DType.F32), List.of(bools), f32(2, 3)),
        fit(new Reshape(Shape.of(6)), List.of(f32(2, 3)), f32(6)),
        fit(new Transpose(List.of(2, 0, 1)), List.of(f32(2, 3, 4)), f32(4, 2, 3)),
        fit(new BroadcastTo(Shape.of(2, 3), List.of(1)), List.of(f32(3)), f32(2, 3)),
        fit(new Slice(List.of(1L), List.of(3L)), List.of(f32(4)), f32(2)),
        fit(new Concat(1), List.of(f32(2, 3), f32(2, 0), f32(2, 1)), f32(2, 4)),
        fit(new ReduceSum(List.of(0, 2), new Blocks(2, 3)), List.of(f32(2, 3, 4)), f32(3)),
        fit(new ReduceMax(List.of(1)), List.of(f32(2, 3)), f32(2)),
        fit(new MatMul(false, false, WHOLE), List.of(f32(2, 3, 4), f32(4, 5)), f32(2, 3, 5)),
        fit(new MatMul(true, true, WHOLE), List.of(f32(4, 3), f32(5, 4)), f32(3, 5)),
        fit(new MatMul(true, false, WHOLE), List.of(f32(2, 4, 3), f32(2, 4, 5)), f32(2, 3, 5)),
        fit(new Gather(), List.of(f32(9, 4), i32(2, 3)), f32(2, 3, 4)),
        fit(new ScatterAdd(9, new Blocks(2, 2)), List.of(i32(2, 3), f32(2, 3, 4)), f32(9, 4)),
        fit(new AllReduce("dp", SUM, LaneSplit.contiguous(4, 2)), List.of(f32(2), f32(2)), f32(2)),
        fit(new AllGather("tp", 3, 1), List.of(f32(2, 4)), f32(2, 12)),
        fit(
            new ReduceScatter("dp", SUM, LaneSplit.onePerRank(2), 0),
            List.of(f32(4, 3)),
            f32(2, 3)));
  }

  private static Stream<Arguments> composites() {
    ValueType qkv = f32(2, 5, 12);
    ValueType out = f32(2, 5, 4);
    ValueType scalar = f32();
    return Stream.of(
        fit(new Linear(true, WHOLE), List.of(f32(2, 3, 4), f32(5, 4), f32(5)), f32(2, 3, 5)),
        fit(new GeluGrad(), List.of(f32(3), f32(3)), f32(3)),
        fit(
            new LayerNorm(1e-5f),
            List.of(f32(2, 3, 4), f32(4), f32(4)),
            f32(2, 3, 4),
            f32(2, 3),
            f32(2, 3)),
        fit(
            new LayerNormGrad(new Blocks(2, 3)),
            List.of(f32(2, 3, 4), f32(2, 3, 4), f32(4), f32(2, 3), f32(2, 3)),
            f32(2, 3, 4),
            f32(4),
            f32(4)),
        fit(new SwiGluGrad(), List.of(f32(3), f32(3), f32(3)), f32(3), f32(3)),
        fit(new RmsNorm(1e-5f), List.of(f32(2, 3, 4), f32(4)), f32(2, 3, 4), f32(2, 3)),
        fit(
            new RmsNormGrad(new Blocks(2, 3)),
            List.of(f32(2, 3, 4), f32(2, 3, 4), f32(4), f32(2, 3)),
            f32(2, 3, 4),
            f32(4)),
        fit(new Rotary(4, 10_000, 7, false), List.of(qkv), qkv),
        fit(
            new GroupedAttention(6, 3, 2),
            List.of(qkv, f32(2, 7, 6), f32(2, 7, 6)),
            qkv,
            f32(2, 6, 5)),
        fit(
            new GroupedAttentionGrad(6, 3, 2, WHOLE),
            List.of(qkv, qkv, f32(2, 7, 6), f32(2, 7, 6), qkv, f32(2, 6, 5)),
            qkv,
            f32(2, 7, 6),
            f32(2, 7, 6)),
        fit(new CausalAttention(2), List.of(qkv), out, f32(2, 2, 5)),
        fit(new CausalAttentionGrad(2, WHOLE), List.of(out, qkv, out, f32(2, 2, 5)), qkv),
        fit(
            new CrossEntropy(new Blocks(2, 1), WHOLE),
            List.of(f32(2, 3, 9), i32(2, 3)),
            scalar,
            scalar,
            f32(2, 3)),
        fit(
            new CrossEntropyGrad(),
            List.of(scalar, f32(2, 3, 9), i32(2, 3), f32(2, 3)),
            f32(2, 3, 9)),
        fit(new SquaredNorm(List.of(Split.NONE, Split.NONE)), List.of(f32(3), scalar), scalar),
        fit(
            new AdamW(0.9f, 0.99f, 1e-8f, 0),
            List.of(f32(3), f32(3), f32(3), f32(3), scalar, scalar, scalar),
            f32(3),
            f32(3),
            f32(3)));
  }

  private static Arguments fit(Op op, List<ValueType> operands, ValueType... results) {
    return arguments(op, operands, List.of(results));
  }

  @ParameterizedTest
  @MethodSource("fits")
  void infersTheResults(Op op, List<ValueType> operands, List<ValueType> results) {
    assertThat(ShapeInference.infer(op, operands)).isEqualTo(results);
  }

  static Stream<Arguments> misfits() {
    ValueType scalar = f32();
    return Stream.of(
        arguments(new Exp(), List.of()),
        arguments(new Add(), List.of(f32(3), f32(2))),
        arguments(new Add(), List.of(f32(3), i32(3))),
        arguments(new Select(), List.of(i32(3), f32(3), f32(3))),
        arguments(new Iota(i32(3), 1), List.of()),
        arguments(new Reshape(Shape.of(5)), List.of(f32(2, 3))),
        arguments(new Transpose(List.of(0, 0)), List.of(f32(2, 3))),
        arguments(new BroadcastTo(Shape.of(2, 3), List.of(0)), List.of(f32(3))),
        arguments(new BroadcastTo(Shape.of(2, 3), List.of(1, 0)), List.of(f32(3, 2))),
        arguments(new Slice(List.of(2L), List.of(5L)), List.of(f32(4))),
        arguments(new Concat(0), List.of(f32(2, 3), f32(2, 4))),
        arguments(new Concat(0), List.of()),
        arguments(new ReduceSum(List.of(1, 0), WHOLE), List.of(f32(2, 3))),
        arguments(new ReduceSum(List.of(0), new Blocks(3, 1)), List.of(f32(4))),
        arguments(new ReduceMax(List.of(2)), List.of(f32(2, 3))),
        arguments(new MatMul(false, false, WHOLE), List.of(f32(2, 3), f32(4, 5))),
        arguments(new MatMul(true, false, WHOLE), List.of(f32(2, 3, 4), f32(3, 5))),
        arguments(new MatMul(false, false, WHOLE), List.of(f32(2, 3, 4), f32(3, 4, 5))),
        arguments(new MatMul(false, false, new Blocks(3, 2)), List.of(f32(2, 4), f32(4, 5))),
        arguments(new MatMul(false, false, WHOLE), List.of(i32(2, 3), i32(3, 4))),
        arguments(new Gather(), List.of(f32(3, 4), f32(2))),
        arguments(new ScatterAdd(3, WHOLE), List.of(i32(2), f32(3, 4))),
        arguments(new AllReduce("dp", SUM, LaneSplit.onePerRank(2)), List.of()),
        arguments(new ReduceScatter("dp", SUM, LaneSplit.onePerRank(2), 0), List.of(f32(3))),
        arguments(new Linear(false, WHOLE), List.of(f32(2, 3), f32(3, 4), f32(3))),
        arguments(new LayerNorm(0), List.of(scalar, f32(1), f32(1))),
        arguments(new LayerNorm(0), List.of(f32(2, 3), f32(2), f32(3))),
        arguments(
            new LayerNormGrad(new Blocks(4, 1)),
            List.of(f32(2, 3), f32(2, 3), f32(3), f32(2), f32(2))),
        arguments(new CausalAttention(5), List.of(f32(2, 5, 12))),
        arguments(new SwiGlu(), List.of(f32(3), f32(2))),
        arguments(new RmsNorm(0), List.of(f32(2, 3), f32(2))),
        arguments(new RmsNorm(0), List.of(scalar, f32(1))),
        arguments(new Rotary(3, 10_000, 0, false), List.of(f32(2, 5, 12))),
        arguments(new Rotary(8, 10_000, 0, false), List.of(f32(2, 5, 12))),
        arguments(new GroupedAttention(4, 3, 0), List.of(f32(2, 5, 8), f32(2, 5, 6), f32(2, 5, 6))),
        arguments(new GroupedAttention(4, 2, 1), List.of(f32(2, 5, 8), f32(2, 5, 4), f32(2, 5, 4))),
        arguments(new GroupedAttention(4, 2, 0), List.of(f32(2, 5, 8), f32(2, 5, 4), f32(2, 5, 8))),
        arguments(new CrossEntropy(WHOLE, WHOLE), List.of(f32(2, 9), f32(2))),
        arguments(new SquaredNorm(List.of(Split.NONE)), List.of(f32(2), f32(2))));
  }

  @ParameterizedTest
  @MethodSource("misfits")
  void refusesOperandsThatDoNotFitNamingOpAndTypes(Op op, List<ValueType> operands) {
    assertThatThrownBy(() -> ShapeInference.infer(op, operands))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("op=" + op)
        .hasMessageContaining("operands=" + operands);
  }
}
