package dev.lockstep.graph;

import static dev.lockstep.graph.ValueType.f32;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.Composite.Linear;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.AllReduce;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.Reshape;
import dev.lockstep.tensor.Shape;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class CostTest {
  @Test
  void countsTwoOperationsPerProduct() {
    MatMul plain = new MatMul(false, false, Blocks.WHOLE);
    assertThat(Cost.of(plain, List.of(f32(3, 4), f32(4, 5))))
        .isEqualTo(new Cost(2 * 3 * 4 * 5, 4 * (12 + 20 + 15)));
    MatMul transposed = new MatMul(true, true, Blocks.WHOLE);
    assertThat(Cost.of(transposed, List.of(f32(4, 3), f32(5, 4))).flops()).isEqualTo(120);
    Linear linear = new Linear(false, Blocks.WHOLE);
    assertThat(Cost.of(linear, List.of(f32(2, 3, 4), f32(4, 5), f32(5))).flops())
        .isEqualTo(2 * 6 * 4 * 5 + 30);
  }

  @Test
  void movesAreFreeButForTheirBytes() {
    assertThat(Cost.of(new Reshape(Shape.of(6)), List.of(f32(2, 3)))).isEqualTo(new Cost(0, 48));
  }

  @Test
  void countsTheJoinsOfAllSubtrees() {
    AllReduce sum = new AllReduce("dp", new ReduceOp.Sum(), LaneSplit.contiguous(4, 2));
    assertThat(Cost.of(sum, List.of(f32(10))).flops()).isEqualTo(10);
  }

  @Test
  void addsUpOverAGraph() {
    GraphBuilder builder = new GraphBuilder("sum");
    Value x = builder.input("x", f32(5));
    builder.output("y", builder.one(new Add(), builder.one(new Add(), x, x), x));
    assertThat(Cost.of(builder.build())).isEqualTo(new Cost(10, 2 * 3 * 20));
  }

  static Stream<OpCase> composites() {
    return CompositeCases.all().stream()
        .filter(c -> c.types().stream().allMatch(type -> type.shape().elements() > 0));
  }

  /// The decomposition does the same arithmetic, some of it twice or on what is masked out.
  @ParameterizedTest
  @MethodSource("composites")
  void compositesCostAboutWhatTheirPrimitivesDo(OpCase composite) {
    long fused = Cost.of(composite.op(), composite.types()).flops();
    long plain = Cost.of(Decomposition.of((Composite) composite.op(), composite.types())).flops();
    assertThat(fused).isPositive().isBetween(plain / 4, plain * 2);
  }
}
