package dev.lockstep.device.neuron.hlo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import dev.lockstep.graph.Closeness;
import dev.lockstep.train.Layout;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.nn.Precision;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Whole training steps of models over layouts, by the interpreter and by XLA, on one, two and four
/// replicas.
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

  private static final ModelShape MOE = new MoeShape(1, 2, 8, 12, 4, 2, 75, 10, 6, 11, true);
  private static final ModelShape EVEN_MOE = new MoeShape(1, 4, 16, 24, 4, 2, 75, 10, 8, 12, true);
  private static final ModelShape EVEN_GPT = new GptShape(1, 4, 16, 8, 12, true);
  private static final ModelShape EVEN_LLAMA =
      new LlamaShape(1, 4, 4, 16, 24, 8, 12, false, 10_000, 1e-5f);

  private static final List<SumOrder> ORDERS = List.of(SumOrder.values());

  private static final List<Arguments> SOME =
      List.of(
          arguments(GPT, Precision.F32, 0.2f, "dp=2", false),
          arguments(MOE, Precision.F32, 0f, "dp=2", false),
          arguments(EVEN_GPT, Precision.F32, 0.2f, "dp=2,tp=2", true));

  static Stream<Arguments> steps() {
    return Stream.of(
        arguments(GPT, Precision.F32, 0f, "dp=1", false),
        arguments(GPT, Precision.F32, 0.2f, "dp=2", false),
        arguments(GPT, Precision.BF16, 0f, "dp=2", false),
        arguments(LLAMA, Precision.F32, 0f, "dp=4", false),
        arguments(MOE, Precision.F32, 0f, "dp=2", false),
        arguments(EVEN_GPT, Precision.F32, 0.2f, "dp=2,tp=2", false),
        arguments(EVEN_GPT, Precision.F32, 0.2f, "tp=2", true),
        arguments(EVEN_LLAMA, Precision.F32, 0f, "tp=2", true),
        arguments(EVEN_GPT, Precision.F32, 0.2f, "cp=2", false),
        arguments(EVEN_LLAMA, Precision.F32, 0f, "cp=2", false),
        arguments(EVEN_MOE, Precision.F32, 0f, "ep=2", false),
        arguments(EVEN_MOE, Precision.F32, 0f, "ep=2,tp=2", false));
  }

  static Stream<Arguments> moreSteps() {
    return Stream.of(
        arguments(MOE, Precision.F32, 0f, "dp=4", false),
        arguments(EVEN_GPT, Precision.F32, 0.2f, "tp=2", false),
        arguments(EVEN_GPT, Precision.F32, 0f, "tp=4", false),
        arguments(EVEN_LLAMA, Precision.F32, 0f, "dp=2,tp=2", false),
        arguments(EVEN_GPT, Precision.F32, 0f, "cp=2,tp=2", false),
        arguments(EVEN_MOE, Precision.F32, 0f, "dp=2,ep=2", false));
  }

  private static WholeStep whole(Object... of) {
    Layout layout = Layout.parse((String) of[3]).withSequenceParallel((boolean) of[4]);
    return new WholeStep((ModelShape) of[0], (Precision) of[1], (float) of[2], layout);
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

  /// What goes into each rank's step, its sums being what the reference makes of the lanes.
  private static List<Map<String, double[]>> stepInputs(
      WholeStep whole, List<Map<String, double[]>> lanes) {
    List<Map<String, double[]>> inputs = new ArrayList<>();
    for (int rank = 0; rank < whole.ranks().ranks(); rank++) {
      inputs.add(whole.stepInputs(rank, whole.laneOf(rank, lanes)));
    }
    return inputs;
  }

  @ParameterizedTest(name = "{0}, {1}, dropout={2}, {3}, sequence parallel {4}")
  @MethodSource("steps")
  void followTheReference(
      ModelShape shape, Precision precision, float dropout, String mesh, boolean isSequence) {
    assertFollowsTheReference(whole(shape, precision, dropout, mesh, isSequence), precision);
  }

  @Tag("long")
  @ParameterizedTest(name = "{0}, {1}, dropout={2}, {3}, sequence parallel {4}")
  @MethodSource("moreSteps")
  void followTheReferenceOverMoreLayouts(
      ModelShape shape, Precision precision, float dropout, String mesh, boolean isSequence) {
    assertFollowsTheReference(whole(shape, precision, dropout, mesh, isSequence), precision);
  }

  private static void assertFollowsTheReference(WholeStep whole, Precision precision) {
    List<Map<String, double[]>> expected = whole.expectedLanes();
    Emitted lane = Emitted.of(whole.graphs("lane"), whole.ranks(), SumOrder.LANE_TREE);
    List<Map<String, double[]>> lanes = lane.interpreted(whole.laneInputs());
    double tolerance = precision == Precision.F32 ? INTERPRETED : NARROW;
    for (int rank = 0; rank < lanes.size(); rank++) {
      assertClose(lanes.get(rank), whole.laneOf(rank, expected), tolerance);
    }
    for (SumOrder order : SumOrder.values()) {
      Emitted step = Emitted.of(whole.graphs("step"), whole.ranks(), order);
      List<Map<String, double[]>> found = step.interpreted(stepInputs(whole, expected));
      Map<String, double[]> one = whole.expectedStep(expected);
      for (int rank = 0; rank < found.size(); rank++) {
        assertClose(found.get(rank), whole.parts(one, rank), INTERPRETED);
      }
    }
  }

  static Stream<Arguments> shards() {
    return Stream.of(
        arguments(EVEN_GPT, "dp=2"),
        arguments(EVEN_LLAMA, "dp=4"),
        arguments(EVEN_MOE, "dp=2"),
        arguments(EVEN_GPT, "dp=2,tp=2"));
  }

  private static WholeStep sharded(Object... of) {
    Layout layout = Layout.parse((String) of[1]).withZero(1);
    return new WholeStep((ModelShape) of[0], Precision.F32, 0, layout);
  }

  private static List<Map<String, double[]>> shardInputs(
      WholeStep whole, List<Map<String, double[]>> lanes) {
    return IntStream.range(0, whole.ranks().ranks())
        .mapToObj(rank -> whole.shardInputs(rank, lanes))
        .toList();
  }

  /// Every rank has a module of its own: its shard has other shapes.
  @ParameterizedTest(name = "{0}, {1}, --zero 1")
  @MethodSource("shards")
  void shardsOfTheStateFollowTheReference(ModelShape shape, String mesh) {
    WholeStep whole = sharded(shape, mesh);
    List<Map<String, double[]>> lanes = whole.expectedLanes();
    Map<String, double[]> one = whole.expectedStep(lanes);
    for (SumOrder order : SumOrder.values()) {
      List<Emitted> steps = whole.ofEachRank("step", order);
      List<List<double[]>> parameters = new ArrayList<>();
      List<Map<String, double[]>> inputs = shardInputs(whole, lanes);
      for (int rank = 0; rank < steps.size(); rank++) {
        parameters.add(steps.get(rank).parameters(rank, inputs.get(rank)));
      }
      List<List<double[]>> results =
          HloReplicas.run(
              steps.stream().map(step -> HloProgram.read(step.module().proto())).toList(),
              parameters);
      for (int rank = 0; rank < steps.size(); rank++) {
        Map<String, double[]> found = steps.get(rank).outputs(results.get(rank));
        assertClose(found, whole.shardOf(rank, one), INTERPRETED);
      }
    }
  }

  @Test
  void someRunUnderXlaInEveryOrder() throws Exception {
    runUnderXla(SOME, ORDERS.size());
  }

  /// In what order sums are is a matter of the sums, not of the layout.
  @Tag("long")
  @Test
  @Timeout(1200)
  void allOthersRunUnderXlaInOneOrderOrTheOther() throws Exception {
    List<Arguments> others =
        Stream.concat(steps(), moreSteps())
            .filter(step -> SOME.stream().noneMatch(some -> Arrays.equals(some.get(), step.get())))
            .toList();
    assertThat(others).hasSize(16);
    runUnderXla(others, 1);
  }

  /// The updates of ZeRO, each rank's module in a process of its own.
  @Tag("long")
  @Test
  void shardsOfTheStateRunUnderXla() throws Exception {
    XlaJudge xla = XlaJudge.find(folder);
    List<WholeStep> wholes = shards().map(each -> sharded(each.get())).toList();
    for (WholeStep whole : wholes) {
      for (SumOrder order : SumOrder.values()) {
        xla.addApart(whole.ofEachRank("step", order), shardInputs(whole, whole.expectedLanes()));
      }
    }
    List<List<Map<String, double[]>>> found = xla.run();
    for (int i = 0; i < found.size(); i++) {
      WholeStep whole = wholes.get(i / SumOrder.values().length);
      Map<String, double[]> one = whole.expectedStep(whole.expectedLanes());
      for (int rank = 0; rank < found.get(i).size(); rank++) {
        assertClose(found.get(i).get(rank), whole.shardOf(rank, one), EXECUTED);
      }
    }
  }

  static Stream<Arguments> ranksWithNumbersOfTheirOwn() {
    return Stream.of(
        arguments(EVEN_GPT, Precision.F32, 0.2f, "dp=2,tp=2", false),
        arguments(EVEN_LLAMA, Precision.F32, 0f, "tp=2", true),
        arguments(EVEN_GPT, Precision.F32, 0.2f, "cp=2", false),
        arguments(EVEN_MOE, Precision.F32, 0f, "ep=2", false));
  }

  /// What a device compiles under these layouts holds its rank's numbers, so that the ranks that
  /// meet in a collective run other modules.
  @Tag("long")
  @Test
  @Timeout(600)
  void modulesOfEachRankMeetUnderXla() throws Exception {
    XlaJudge xla = XlaJudge.find(folder);
    List<WholeStep> wholes = ranksWithNumbersOfTheirOwn().map(each -> whole(each.get())).toList();
    for (WholeStep whole : wholes) {
      List<Map<String, double[]>> sums = stepInputs(whole, whole.expectedLanes());
      xla.addApart(whole.ofEachRank("lane", SumOrder.COMPILER), whole.laneInputs());
      xla.addApart(whole.ofEachRank("step", SumOrder.COMPILER), sums);
    }
    List<List<Map<String, double[]>>> found = xla.run();
    for (int i = 0; i < wholes.size(); i++) {
      WholeStep whole = wholes.get(i);
      List<Map<String, double[]>> lanes = whole.expectedLanes();
      Map<String, double[]> one = whole.expectedStep(lanes);
      for (int rank = 0; rank < whole.ranks().ranks(); rank++) {
        assertClose(found.get(2 * i).get(rank), whole.laneOf(rank, lanes), EXECUTED);
        assertClose(found.get(2 * i + 1).get(rank), whole.parts(one, rank), EXECUTED);
      }
    }
  }

  /// @param orders in how many orders of sums each step is run, all or by turns
  private void runUnderXla(List<Arguments> all, int orders) throws Exception {
    XlaJudge xla = XlaJudge.find(folder);
    List<WholeStep> wholes = new ArrayList<>();
    List<Double> tolerances = new ArrayList<>();
    for (Arguments each : all) {
      WholeStep whole = whole(each.get());
      int turn = wholes.size();
      wholes.add(whole);
      tolerances.add(each.get()[1] == Precision.F32 ? EXECUTED : NARROW);
      xla.add(
          Emitted.of(whole.graphs("lane"), whole.ranks(), SumOrder.LANE_TREE), whole.laneInputs());
      for (int order = 0; order < orders; order++) {
        SumOrder sums = ORDERS.get((turn + order) % ORDERS.size());
        xla.add(
            Emitted.of(whole.graphs("step"), whole.ranks(), sums),
            stepInputs(whole, whole.expectedLanes()));
      }
    }
    List<List<Map<String, double[]>>> found = xla.run();
    int modules = 1 + orders;
    for (int i = 0; i < wholes.size(); i++) {
      WholeStep whole = wholes.get(i);
      List<Map<String, double[]>> lanes = whole.expectedLanes();
      Map<String, double[]> one = whole.expectedStep(lanes);
      List<List<Map<String, double[]>>> its = found.subList(modules * i, modules * (i + 1));
      for (int rank = 0; rank < whole.ranks().ranks(); rank++) {
        assertClose(its.getFirst().get(rank), whole.laneOf(rank, lanes), tolerances.get(i));
        for (List<Map<String, double[]>> step : its.subList(1, modules)) {
          assertClose(step.get(rank), whole.parts(one, rank), EXECUTED);
        }
      }
    }
  }
}
