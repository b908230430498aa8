package dev.lockstep.device.neuron.hlo;

import static org.junit.jupiter.params.provider.Arguments.arguments;

import dev.lockstep.device.RankGrid;
import dev.lockstep.graph.Closeness;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.nn.Precision;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Whole training steps of models, by the interpreter and by XLA, on one, two and four replicas.
@Timeout(300)
final class WholeStepTest {
  private static final ModelShape GPT = new GptShape(1, 2, 8, 6, 11, true);
  private static final ModelShape LLAMA =
      new LlamaShape(1, 4, 2, 16, 24, 6, 11, false, 10_000, 1e-5f);

  // Literals of the module are F32, and so is every value under XLA.
  private static final double INTERPRETED = 1e-5;
  private static final double EXECUTED = 2e-4;

  // A bfloat16 has 8 bits: where a value lies near the middle of two, F32 may round it to the
  // other.
  private static final double NARROW = 4e-2;

  @TempDir private Path folder;

  static Stream<Arguments> steps() {
    return Stream.of(
        arguments(GPT, Precision.F32, 0f, 1),
        arguments(GPT, Precision.F32, 0.2f, 2),
        arguments(GPT, Precision.BF16, 0f, 2),
        arguments(LLAMA, Precision.F32, 0f, 4));
  }

  private static RankGrid ranks(int replicas) {
    return replicas == 1 ? RankGrid.ALONE : CollectivesTest.line(replicas);
  }

  private static void assertClose(
      Map<String, double[]> found, Map<String, double[]> expected, double tolerance) {
    expected.forEach(
        (name, elements) -> {
          try {
            Closeness.assertClose(Emitted.numbers(found, name), elements, tolerance);
          } catch (AssertionError e) {
            throw new AssertionError(name + ": " + e.getMessage(), e);
          }
        });
  }

  @ParameterizedTest(name = "{0}, {1}, dropout={2}, replicas={3}")
  @MethodSource("steps")
  void followTheReference(ModelShape shape, Precision precision, float dropout, int replicas) {
    WholeStep whole = new WholeStep(shape, precision, dropout, replicas);
    List<Map<String, double[]>> expected = whole.expectedLanes();
    Emitted lane = Emitted.of(whole.lane(), ranks(replicas), SumOrder.LANE_TREE);
    List<Map<String, double[]>> lanes = lane.interpreted(whole.laneInputs());
    double tolerance = precision == Precision.F32 ? INTERPRETED : NARROW;
    for (int i = 0; i < replicas; i++) {
      assertClose(lanes.get(i), expected.get(i), tolerance);
    }
    for (SumOrder order : SumOrder.values()) {
      Emitted step = Emitted.of(whole.step(replicas), ranks(replicas), order);
      List<Map<String, double[]>> found =
          step.interpreted(lanes.stream().map(whole::stepInputs).toList());
      for (Map<String, double[]> rank : found) {
        assertClose(rank, whole.expectedStep(lanes), INTERPRETED);
      }
    }
  }

  @Test
  void runUnderXla() throws Exception {
    runUnderXla(List.of(arguments(GPT, Precision.F32, 0.2f, 2)));
  }

  @Tag("long")
  @Test
  void allRunUnderXla() throws Exception {
    runUnderXla(steps().toList());
  }

  private void runUnderXla(List<Arguments> all) throws Exception {
    XlaJudge xla = XlaJudge.find(folder);
    List<WholeStep> wholes = new ArrayList<>();
    List<Double> tolerances = new ArrayList<>();
    for (Arguments each : all) {
      Object[] of = each.get();
      int replicas = (int) of[3];
      WholeStep whole =
          new WholeStep((ModelShape) of[0], (Precision) of[1], (float) of[2], replicas);
      wholes.add(whole);
      tolerances.add(of[1] == Precision.F32 ? EXECUTED : NARROW);
      xla.add(Emitted.of(whole.lane(), ranks(replicas), SumOrder.LANE_TREE), whole.laneInputs());
      for (SumOrder order : SumOrder.values()) {
        xla.add(
            Emitted.of(whole.step(replicas), ranks(replicas), order),
            whole.expectedLanes().stream().map(whole::stepInputs).toList());
      }
    }
    List<List<Map<String, double[]>>> found = xla.run();
    for (int i = 0; i < wholes.size(); i++) {
      WholeStep whole = wholes.get(i);
      List<Map<String, double[]>> lanes = whole.expectedLanes();
      for (int rank = 0; rank < lanes.size(); rank++) {
        assertClose(found.get(3 * i).get(rank), lanes.get(rank), tolerances.get(i));
        for (int order = 1; order <= 2; order++) {
          assertClose(found.get(3 * i + order).get(rank), whole.expectedStep(lanes), EXECUTED);
        }
      }
    }
  }
}
