package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/// Which nodes one kernel computes, and what then goes through memory.
class ElementFusionTest {
  private static final ValueType F32 = ValueType.f32(6, 4);
  private static final ValueType BF16 = new ValueType(DType.BF16, Shape.of(6, 4));
  private static final long N = 24;

  private final GraphBuilder builder = new GraphBuilder("chain");

  private List<ProgramUnit> units() {
    Graph graph = builder.build();
    return ElementFusion.fuse(graph, CudaUnit.of(graph, Optional.empty()));
  }

  private FusedUnit only() {
    List<ProgramUnit> units = units();
    assertThat(units).singleElement().isInstanceOf(FusedUnit.class);
    return (FusedUnit) units.getFirst();
  }

  private Value narrow(Value value) {
    return builder.one(new Primitive.Convert(DType.BF16), value);
  }

  private Value widen(Value value) {
    return builder.one(new Primitive.Convert(DType.F32), value);
  }

  private Value turned(Value value) {
    return builder.one(new Primitive.Transpose(List.of(1, 0)), value);
  }

  /// A perceptron's middle in bfloat16: what it kept is for the gradient.
  @Test
  void theActivationOfAProductReadsItOnceAndWritesBfloat16() {
    Value product = builder.input("product", F32);
    Value before = narrow(product);
    Value after = narrow(builder.one(new Composite.Gelu(), widen(before)));
    builder.output("before", before);
    builder.output("after", after);
    FusedUnit unit = only();
    assertThat(unit.reads()).containsExactly(product);
    assertThat(unit.writes()).containsExactly(before, after);
    assertThat(unit.cost().bytes()).isEqualTo((4 + 2 + 2) * N);
  }

  @Test
  void aGradientReadsWhatWasKeptAsItWasKept() {
    Value product = builder.input("product", F32);
    Value kept = builder.input("kept", BF16);
    Value dy = widen(narrow(product));
    Value dx = builder.one(new Composite.GeluGrad(), dy, widen(kept));
    builder.output("dx", narrow(dx));
    FusedUnit unit = only();
    assertThat(unit.reads()).containsExactly(product, kept);
    assertThat(unit.cost().bytes()).isEqualTo((4 + 2 + 2) * N);
  }

  @Test
  void whatIsReadElsewhereIsAResultToo() {
    Value sum = builder.one(new Primitive.Add(), builder.input("a", F32), builder.input("b", F32));
    Value narrow = narrow(sum);
    builder.output("narrow", narrow);
    builder.output("turned", turned(sum));
    List<ProgramUnit> units = units();
    assertThat(units).hasSize(2);
    assertThat(units.getFirst().writes()).containsExactly(sum, narrow);
  }

  @Test
  void reshapesAreSeenThrough() {
    Value x = builder.input("x", F32);
    Value flat =
        builder.one(new Primitive.Reshape(Shape.of(N)), builder.one(new Primitive.Neg(), x));
    Value y = builder.one(new Primitive.Tanh(), flat);
    builder.output("y", builder.one(new Primitive.Reshape(Shape.of(4, 6)), y));
    FusedUnit unit = only();
    assertThat(unit.reads()).containsExactly(x);
    assertThat(unit.writes()).containsExactly(y);
  }

  @Test
  void constantsAndRepeatedOperandsTakeNoMemory() {
    Value x = builder.input("x", F32);
    Value row = builder.input("row", ValueType.f32(4));
    Value scalar = builder.input("scalar", ValueType.f32());
    Value rows = builder.one(new Primitive.BroadcastTo(F32.shape(), List.of(1)), row);
    Value scalars = builder.one(new Primitive.BroadcastTo(F32.shape(), List.of()), scalar);
    Value halves = builder.one(new Primitive.Constant(F32, 0.5));
    Value y = builder.one(new Primitive.Add(), builder.one(new Primitive.Mul(), x, halves), rows);
    builder.output("y", builder.one(new Primitive.Mul(), y, scalars));
    FusedUnit unit = only();
    assertThat(unit.reads()).containsExactly(x, row, scalar);
    assertThat(unit.cost().bytes()).isEqualTo(4 * N + 4 * 4 + 4 + 4 * N);
  }

  /// Element `i` is not of element `i mod 6` of the operand.
  @Test
  void columnsThatRepeatAreCopied() {
    Value x = builder.input("x", F32);
    Value column = builder.input("column", ValueType.f32(6));
    Value columns = builder.one(new Primitive.BroadcastTo(F32.shape(), List.of(0)), column);
    builder.output("y", builder.one(new Primitive.Add(), x, columns));
    assertThat(units()).hasSize(2).allMatch(CudaUnit.class::isInstance);
  }

  @Test
  void aWideningThatIsReadFarAwayIsNotKept() {
    Value kept = narrow(builder.one(new Primitive.Neg(), builder.input("x", F32)));
    Value between = turned(builder.input("other", F32));
    for (int i = 0; i < 20; i++) {
      between = turned(between);
    }
    builder.output("between", between);
    builder.output("turned", turned(widen(kept)));
    List<ProgramUnit> units = units();
    assertThat(units.getFirst().writes()).containsExactly(kept);
    assertThat(units).hasSize(1 + 21 + 2);
  }

  @Test
  void aWideningThatIsReadNearIsWrittenWithWhatItWidens() {
    Value x = builder.input("x", F32);
    Value narrow = narrow(x);
    Value wide = widen(narrow);
    builder.output("turned", turned(wide));
    List<ProgramUnit> units = units();
    assertThat(units).hasSize(2);
    assertThat(units.getFirst().reads()).containsExactly(x);
    assertThat(units.getFirst().writes()).containsExactly(wide);
  }

  @Test
  void aChainWaitsForWhatIsMadeLater() {
    Value x = builder.input("x", F32);
    Value first = builder.one(new Primitive.Tanh(), x);
    Value later = turned(turned(builder.input("other", F32)));
    Value sum = builder.one(new Primitive.Add(), first, later);
    builder.output("sum", sum);
    List<ProgramUnit> units = units();
    assertThat(units).hasSize(3);
    assertThat(units.getLast().reads()).containsExactly(x, later);
  }

  @Test
  void aChainThatIsReadMeanwhileDoesNotWait() {
    Value x = builder.input("x", F32);
    Value first = builder.one(new Primitive.Tanh(), x);
    Value later = turned(turned(first));
    Value sum = builder.one(new Primitive.Add(), first, later);
    builder.output("sum", sum);
    assertThat(units()).hasSize(4).allMatch(CudaUnit.class::isInstance);
  }

  /// Both passes of a step read a weight in bfloat16.
  @Test
  void aWeightIsRoundedOnceForAllItsProducts() {
    Value x = builder.input("x", ValueType.f32(4, 4));
    Value weight = builder.input("weight", ValueType.f32(4, 4));
    Primitive.MatMul matMul = new Primitive.MatMul(false, false, Blocks.WHOLE);
    Value y = builder.one(matMul, x, widen(narrow(weight)));
    builder.output("y", builder.one(matMul, y, widen(narrow(weight))));
    assertThat(units()).hasSize(3);
  }

  private List<ProgramUnit> gradientOfANorm(boolean isReadElsewhere) {
    Value row = builder.input("row", ValueType.f32(4));
    Value column = builder.input("column", ValueType.f32(6));
    Value x = builder.input("x", F32);
    Value stream = builder.input("stream", F32);
    List<Value> gradients =
        builder.apply(
            new Composite.LayerNormGrad(Blocks.WHOLE),
            List.of(widen(builder.input("dy", BF16)), x, row, column, column));
    Value sum = builder.one(new Primitive.Add(), gradients.getFirst(), stream);
    builder.output("sum", sum);
    builder.output("narrow", narrow(sum));
    builder.output("gain", gradients.get(1));
    builder.output("bias", gradients.get(2));
    if (isReadElsewhere) {
      builder.output("dx", gradients.getFirst());
    }
    return units();
  }

  /// The residual stream's gradient on the way back.
  @Test
  void theGradientOfANormJoinsThatOfTheStreamAndRoundsIt() {
    List<ProgramUnit> units = gradientOfANorm(false);
    assertThat(units).singleElement().isInstanceOf(CudaUnit.class);
    assertThat(units.getFirst().reads()).hasSize(6);
    assertThat(units.getFirst().writes()).hasSize(4);
  }

  @Test
  void aGradientThatIsReadElsewhereIsAddedApart() {
    assertThat(gradientOfANorm(true)).hasSize(2);
  }

  @Test
  void tensorsOfOtherSizesAreChainsOfTheirOwn() {
    Value scale = builder.one(new Primitive.Sqrt(), builder.input("scale", ValueType.f32()));
    Value scales = builder.one(new Primitive.BroadcastTo(F32.shape(), List.of()), scale);
    builder.output("y", builder.one(new Primitive.Mul(), builder.input("x", F32), scales));
    List<ProgramUnit> units = units();
    assertThat(units).hasSize(2);
    assertThat(units.getFirst()).isInstanceOf(CudaUnit.class);
    assertThat(units.getLast().reads()).hasSize(2).contains(scale);
  }

  /// The kernel's text says nothing of extents, constants and numbers of values.
  @Test
  void chainsThatAreAlikeShareAKernel() {
    FusedUnit one = scaled(new GraphBuilder("one"), 0.5, 6, 4);
    FusedUnit other = scaled(new GraphBuilder("other"), 0.25, 100);
    assertThat(FusedSource.of(one).source()).isEqualTo(FusedSource.of(other).source());
    assertThat(FusedSource.of(one).kernel()).isEqualTo("fused_mul_tanh_bf16");
  }

  private static FusedUnit scaled(GraphBuilder builder, double by, long... dims) {
    ValueType type = ValueType.f32(dims);
    for (int i = 0; i < dims.length; i++) {
      builder.input("unused" + i, type);
    }
    Value x = builder.input("x", type);
    Value y = builder.one(new Primitive.Mul(), x, builder.one(new Primitive.Constant(type, by)));
    y = builder.one(new Primitive.Tanh(), y);
    builder.output("y", builder.one(new Primitive.Convert(DType.BF16), y));
    Graph graph = builder.build();
    return (FusedUnit) ElementFusion.fuse(graph, CudaUnit.of(graph, Optional.empty())).getFirst();
  }
}
