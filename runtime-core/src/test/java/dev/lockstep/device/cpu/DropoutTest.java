package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lockstep.device.Device;
import dev.lockstep.graph.Composite.Dropout;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.Part;
import dev.lockstep.graph.Primitive.Uniform;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/// What falls, and where.
class DropoutTest {
  private static final Device DEVICE = GraphRun.device(2, 0);
  private static final float RATE = 0.25f;

  @AfterAll
  static void close() {
    DEVICE.close();
  }

  /// Ones after dropout.
  private static double[] dropped(Uniform random, int step, int lane) {
    Shape shape = random.part().shape();
    GraphBuilder builder = new GraphBuilder("dropout");
    Value x = builder.input("x", new ValueType(DType.F32, shape));
    Value y =
        builder.one(
            new Dropout(RATE, random),
            x,
            builder.input("step", ValueType.i32()),
            builder.input("lane", ValueType.i32()));
    builder.output("y", y);
    try (GraphRun run = new GraphRun(DEVICE, builder.build())) {
      double[] ones = new double[(int) shape.elements()];
      Arrays.fill(ones, 1);
      return run.set("x", ones).set("step", step).set("lane", lane).run().get("y");
    }
  }

  private static Uniform random(int tensor) {
    return new Uniform(Part.all(Shape.of(100, 1_003)), 5, tensor);
  }

  @Test
  void dropsAtTheRateAndKeepsTheMean() {
    double[] y = dropped(random(1), 3, 2);
    assertThat(Arrays.stream(y).filter(v -> v == 0).count() / (double) y.length)
        .isCloseTo(RATE, within(0.005));
    assertThat(Arrays.stream(y).sum() / y.length).isCloseTo(1, within(0.01));
    assertThat(Arrays.stream(y).filter(v -> v != 0).distinct())
        .containsExactly((double) (1 / (1 - RATE)));
  }

  @Test
  void stepLaneAndTensorEachMatterAndNothingElse() {
    List<Double> first = boxed(dropped(random(1), 3, 2));
    assertThat(
            Set.of(
                first,
                boxed(dropped(random(1), 4, 2)),
                boxed(dropped(random(1), 3, 3)),
                boxed(dropped(random(2), 3, 2))))
        .hasSize(4);
    assertThat(boxed(dropped(random(1), 3, 2))).isEqualTo(first);
  }

  private static List<Double> boxed(double[] numbers) {
    return Arrays.stream(numbers).boxed().toList();
  }

  @Test
  void aPartHasTheBitsOfItsPlaceInTheWhole() {
    Shape whole = Shape.of(6, 7, 200);
    double[] all = dropped(new Uniform(Part.all(whole), 5, 1), 3, 2);
    Shape shape = Shape.of(3, 4, 90);
    double[] part = dropped(new Uniform(new Part(whole, List.of(2L, 3L, 77L), shape), 5, 1), 3, 2);
    for (int i = 0; i < part.length; i++) {
      int at = ((i / 360 + 2) * 7 + i / 90 % 4 + 3) * 200 + i % 90 + 77;
      assertThat(part[i]).as("element %d", i).isEqualTo(all[at]);
    }
  }

  @Test
  void refusesAPartThatLiesOutsideAndARateOfOne() {
    Shape whole = Shape.of(4, 5);
    assertThatThrownBy(() -> new Part(whole, List.of(2L, 0L), Shape.of(3, 5)))
        .hasMessageContaining("part lies outside its tensor");
    assertThatThrownBy(() -> new Dropout(1f, new Uniform(Part.all(whole), 0, 0)))
        .hasMessageContaining("rate=1.0");
  }
}
