package dev.lockstep.train.autodiff;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite.CausalAttention;
import dev.lockstep.graph.Composite.CausalAttentionGrad;
import dev.lockstep.graph.Composite.LayerNorm;
import dev.lockstep.graph.Composite.LayerNormGrad;
import dev.lockstep.graph.Composite.Linear;
import dev.lockstep.graph.Composite.SiluGrad;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.AllReduce;
import dev.lockstep.graph.Primitive.BroadcastTo;
import dev.lockstep.graph.Primitive.Constant;
import dev.lockstep.graph.Primitive.Exp;
import dev.lockstep.graph.Primitive.Gather;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.Mul;
import dev.lockstep.graph.Primitive.Neg;
import dev.lockstep.graph.Primitive.ReduceSum;
import dev.lockstep.graph.Primitive.ScatterAdd;
import dev.lockstep.graph.Primitive.Tanh;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.ReferenceInterpreter;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.Shape;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.junit.jupiter.api.Test;

/// What is appended: which ops, in which order, with which blocks.
class DifferentiatorTest {
  private static final Blocks TOKENS = new Blocks(3, 2);

  private final GraphBuilder builder = new GraphBuilder("test");

  private Map<String, Value> gradients(Value loss, Map<Value, Blocks> columns, Value... wrt) {
    Value seed = builder.input("seed", loss.type());
    return Differentiator.gradients(
        builder, loss, seed, List.of(wrt), new GradientBlocks(3, 2, columns));
  }

  private Node producer(Value value) {
    return builder.build().nodes().stream()
        .filter(node -> node.outputs().contains(value))
        .findFirst()
        .orElseThrow();
  }

  private Op op(Map<String, Value> gradients, String name) {
    Value gradient = gradients.get(name);
    assertThat(gradient).isNotNull();
    return producer(Objects.requireNonNull(gradient)).op();
  }

  @Test
  void sumsUsesInProgramOrder() {
    Value x = builder.input("x", ValueType.f32(2));
    Value first = builder.one(new Exp(), x);
    Value second = builder.one(new Tanh(), x);
    Value third = builder.one(new Neg(), x);
    Value sum = builder.one(new Add(), builder.one(new Add(), third, second), first);
    Value gradient = gradients(sum, Map.of(), x).values().iterator().next();

    Node last = producer(gradient);
    assertThat(last.op()).isEqualTo(new Add());
    assertThat(producer(last.inputs().get(1)).op()).isEqualTo(new Neg());
    Node firstTwo = producer(last.inputs().get(0));
    assertThat(producer(firstTwo.inputs().get(0)).inputs()).contains(first);
    assertThat(producer(firstTwo.inputs().get(1)).op()).isEqualTo(new Mul());
  }

  @Test
  void whatIsComputedAgainIsDifferentiatedOnce() {
    double[] point = {0.25, -0.5, 1.5};
    assertThat(gradientThroughACompositesOwnOperand(true, point))
        .isEqualTo(gradientThroughACompositesOwnOperand(false, point));
  }

  /// The gradient of a composite that has none of its own, by an operand of which the other is
  /// made.
  private static double[] gradientThroughACompositesOwnOperand(boolean again, double[] point) {
    GraphBuilder graph = new GraphBuilder("again");
    Value x = graph.input("x", ValueType.f32(point.length));
    Value made = graph.one(new Exp(), x);
    Value loss = graph.one(new SiluGrad(), x, made);
    Value seed = graph.one(new Constant(loss.type(), 1));
    WayBack way = new WayBack(again ? Set.of(made) : Set.of(), Set.of());
    Differentiator.gradients(
            graph, Map.of(loss, seed), Map.of("x", x), new GradientBlocks(1, 1, Map.of()), way)
        .forEach(graph::output);
    return ReferenceInterpreter.run(graph.build(), Map.of("x", point)).getFirst();
  }

  @Test
  void namesGradientsInTheOrderAskedFor() {
    Value a = builder.input("a", ValueType.f32(2));
    Value b = builder.input("b", ValueType.f32(2));
    Map<String, Value> gradients = gradients(builder.one(new Mul(), a, b), Map.of(), b, a);
    assertThat(gradients.keySet()).containsExactly("b", "a");
  }

  @Test
  void givesZeroWhereTheLossDoesNotDepend() {
    Value a = builder.input("a", ValueType.f32(2));
    Value b = builder.input("b", ValueType.f32(3));
    Map<String, Value> gradients = gradients(builder.one(new Exp(), a), Map.of(), a, b);
    assertThat(op(gradients, "b")).isEqualTo(new Constant(ValueType.f32(3), 0));
  }

  @Test
  void addsNothingForWhatNobodyAsked() {
    Value x = builder.input("x", ValueType.f32(3, 4));
    Value w = builder.input("w", ValueType.f32(4, 5));
    Value y = builder.one(new MatMul(false, false, Blocks.WHOLE), x, w);
    int before = builder.build().nodes().size();
    gradients(y, Map.of(), w);
    assertThat(builder.build().nodes()).hasSize(before + 1);
  }

  @Test
  void cutsTheGradientsOfAPackedLinear() {
    Value x = builder.input("x", ValueType.f32(3, 4, 8));
    Value w = builder.input("w", ValueType.f32(8, 24));
    Value bias = builder.input("b", ValueType.f32(24));
    Value y = builder.one(new Linear(false, Blocks.WHOLE), x, w, bias);
    Map<String, Value> gradients = gradients(y, Map.of(w, new Blocks(3, 4)), x, w, bias);
    assertThat(op(gradients, "x")).isEqualTo(new MatMul(false, true, new Blocks(3, 4)));
    assertThat(op(gradients, "w")).isEqualTo(new MatMul(true, false, TOKENS));
    assertThat(op(gradients, "b")).isEqualTo(new ReduceSum(List.of(0, 1), TOKENS));
  }

  @Test
  void cutsTheGradientsOfATransposedHead() {
    Value x = builder.input("x", ValueType.f32(3, 4, 8));
    Value w = builder.input("w", ValueType.f32(20, 8));
    Value y = builder.one(new MatMul(false, true, Blocks.WHOLE), x, w);
    Map<String, Value> gradients = gradients(y, Map.of(w, new Blocks(1, 4)), x, w);
    assertThat(op(gradients, "x")).isEqualTo(new MatMul(false, false, new Blocks(1, 4)));
    assertThat(op(gradients, "w")).isEqualTo(new MatMul(true, false, TOKENS));
  }

  @Test
  void addsEmbeddingsInIndexOrderAndPositionsOverSequencesOnly() {
    Value table = builder.input("table", ValueType.f32(20, 8));
    Value positions = builder.input("positions", ValueType.f32(4, 8));
    Value ids = builder.input("ids", ValueType.i32(3, 4));
    Shape hidden = Shape.of(3, 4, 8);
    Value sum =
        builder.one(
            new Add(),
            builder.one(new Gather(), table, ids),
            builder.one(new BroadcastTo(hidden, List.of(1, 2)), positions));
    Map<String, Value> gradients = gradients(sum, Map.of(), table, positions);
    assertThat(op(gradients, "table")).isEqualTo(new ScatterAdd(20, TOKENS));
    assertThat(op(gradients, "positions")).isEqualTo(new ReduceSum(List.of(0), Blocks.WHOLE));
  }

  @Test
  void cutsNormsAndAttentionByPositions() {
    Value x = builder.input("x", ValueType.f32(3, 4, 12));
    Value gain = builder.input("gain", ValueType.f32(12));
    Value bias = builder.input("bias", ValueType.f32(12));
    Value norm = builder.apply(new LayerNorm(1e-5f), List.of(x, gain, bias)).getFirst();
    Value out = builder.apply(new CausalAttention(2), List.of(norm)).getFirst();
    Map<String, Value> gradients = gradients(out, Map.of(), x, gain, bias);
    assertThat(op(gradients, "gain")).isEqualTo(new LayerNormGrad(TOKENS));
    Value upstream = producer(Objects.requireNonNull(gradients.get("bias"))).inputs().getFirst();
    assertThat(producer(upstream).op()).isEqualTo(new CausalAttentionGrad(2, new Blocks(1, 2)));
  }

  @Test
  void refusesASeedOfAnotherType() {
    Value x = builder.input("x", ValueType.f32(2));
    Value seed = builder.input("seed", ValueType.f32());
    assertThatThrownBy(
            () ->
                Differentiator.gradients(
                    builder, x, seed, List.of(x), new GradientBlocks(1, 1, Map.of())))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("seed=");
  }

  @Test
  void refusesAValueThatIsNoInput() {
    Value y = builder.one(new Exp(), builder.input("x", ValueType.f32(2)));
    assertThatThrownBy(() -> gradients(builder.one(new Neg(), y), Map.of(), y))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("is no input");
  }

  @Test
  void refusesToGoThroughACollective() {
    Value x = builder.input("x", ValueType.f32(2));
    AllReduce allReduce = new AllReduce("tp", new ReduceOp.Sum(), LaneSplit.onePerRank(2));
    Value sum = builder.one(allReduce, x);
    assertThatThrownBy(() -> gradients(sum, Map.of(), x))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("AllReduce");
  }
}
