package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.Mesh;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Scope;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Recipe.SumBlocks;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.placement.CollectiveMutants;
import dev.lockstep.train.placement.CollectiveMutants.Mutant;
import dev.lockstep.train.placement.InnerCollectives;
import dev.lockstep.train.placement.PlacedGraph;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Where ranks meet on two axes at once, a collective that is dropped, doubled or on the other axis
/// is refused by its types, or ends in other bits on some rank.
@Timeout(120)
class CollectiveMutantsTest {
  private static final GptShape GPT = new GptShape(1, 2, 8, 8, 256, true);
  private static final LlamaShape LLAMA =
      new LlamaShape(1, 4, 2, 16, 8, 8, 256, false, 10_000, 1e-5f);
  private static final MoeShape MOE = new MoeShape(1, 2, 8, 6, 4, 2, 100, 10, 8, 256, true);

  /// A mutant that no type refused, as this rank runs it.
  private record Run(String what, Graph graph) {}

  /// What there is to run, and how many mutants were never built.
  private record Programs(Graph right, List<Run> wrong, int refused) {
    Programs each(int stride) {
      List<Run> some =
          IntStream.range(0, wrong.size())
              .filter(i -> i % stride == 0)
              .mapToObj(wrong::get)
              .toList();
      return new Programs(right, some, refused);
    }
  }

  private static Recipe recipe(ModelShape shape) {
    return Recipe.defaults()
        .withModel(shape)
        .withBlocks(new SumBlocks(4, 4))
        .withBatch(new BatchShape(2, 1, 2));
  }

  /// The program of a lane, typed on the axis that it was laid out over last.
  private static Programs lane(Recipe recipe, Grid grid, List<String> axes) {
    ModelPrograms models =
        new ModelPrograms(recipe.model().model(recipe.blocks().tensor()), recipe.blocks().tokens());
    List<PlacedGraph> passes = grid.passes(models.lane(recipe.batch().microBatch()));
    assertThat(passes).hasSize(2);
    PlacedGraph placed = passes.getLast();
    placed.check(placed.graph()); // what is right passes
    List<Run> wrong = new ArrayList<>();
    int refused = 0;
    for (Mutant mutant : mutants(placed.graph(), axes)) {
      try {
        placed.check(mutant.graph());
        Graph built = CollectiveMutants.built(mutant.graph());
        wrong.add(new Run(mutant.what(), InnerCollectives.lower(built)));
      } catch (IllegalArgumentException caught) {
        refused++;
      }
    }
    Graph right = CollectiveMutants.built(placed.graph());
    return new Programs(InnerCollectives.lower(right), wrong, refused);
  }

  /// The program of what follows the lanes.
  private static Programs step(Recipe recipe, Grid grid, List<String> axes) {
    ModelPrograms models =
        new ModelPrograms(recipe.model().model(recipe.blocks().tensor()), recipe.blocks().tokens());
    ModelPrograms.Traced lane = models.lane(recipe.batch().microBatch());
    LaneSplit lanes = LaneSplit.contiguous(recipe.batch().lanes(), grid.data().ranks());
    Graph right = StepGraph.trace(lane.uses(), recipe.optimizer(), grid.stepPlace(lanes, null));
    var _ = CollectiveMutants.built(right); // what is right passes
    List<Run> wrong = new ArrayList<>();
    int refused = 0;
    for (Mutant mutant : mutants(right, axes)) {
      try {
        wrong.add(new Run(mutant.what(), CollectiveMutants.built(mutant.graph())));
      } catch (IllegalArgumentException caught) {
        refused++;
      }
    }
    return new Programs(right, wrong, refused);
  }

  /// Of collectives that an output depends on: the others are left out when a program is lowered.
  private static List<Mutant> mutants(Graph graph, List<String> axes) {
    return CollectiveMutants.live(graph).reversed().stream()
        .flatMap(index -> CollectiveMutants.misplaced(graph, index, axes).stream())
        .toList();
  }

  /// What a rank makes of the programs, by what is wrong with them.
  private static Map<String, String> outcomes(
      Job job, Recipe recipe, TrainerOptions options, Programs programs) {
    try (Scope scope = new Scope()) {
      JobExchange exchange = JobExchange.open(scope, job, recipe, options);
      RankCompute compute = RankCompute.open(scope, options, job, exchange.place());
      Map<String, String> outcomes = new HashMap<>();
      outcomes.put("nothing", ProgramBits.of(compute, job.rank(), programs.right));
      assertThat(ProgramBits.of(compute, job.rank(), programs.right))
          .isEqualTo(outcomes.get("nothing"));
      for (Run wrong : programs.wrong) {
        outcomes.put(wrong.what, ProgramBits.ofWrong(compute, job.rank(), wrong.graph));
      }
      return outcomes;
    }
  }

  private interface Part {
    Programs of(Recipe recipe, Grid grid, List<String> axes);
  }

  /// Every mutant is typed, and of those that are left one of `stride` is run.
  private static void everyMutantIsCaught(
      Part part, String what, int stride, String mesh, ModelShape shape) throws Exception {
    Layout layout =
        Layout.parse(mesh.replace(" sp", "")).withSequenceParallel(mesh.endsWith(" sp"));
    TrainerOptions options = TrainerOptions.defaults().withThreads(1).withLayout(layout);
    Recipe recipe = recipe(shape);
    layout.check(recipe, layout.places());
    List<String> axes = layout.axes().stream().map(Mesh.Axis::name).toList();
    List<Programs> programs = Collections.synchronizedList(new ArrayList<>());
    List<Map<String, String>> ranks =
        InProcessRanks.run(
            layout.places(),
            job -> {
              Grid grid = Grid.of(layout, job.rank(), job.worldSize());
              Programs mine = part.of(recipe, grid, axes).each(stride);
              programs.add(mine);
              return outcomes(job, recipe, options, mine);
            });

    List<Run> wrong = programs.getFirst().wrong;
    for (Run mutant : wrong) {
      assertThat(ranks).allMatch(rank -> rank.containsKey(mutant.what));
      boolean isCaught =
          ranks.stream()
              .anyMatch(rank -> !Objects.equals(rank.get(mutant.what), rank.get("nothing")));
      assertThat(isCaught).as("--mesh %s: %s", mesh, mutant.what).isTrue();
    }
    System.out.printf(
        "collectives: %s of %s over %s: %d mutants refused by types, %s%d others end in other"
            + " bits%n",
        what,
        shape.family(),
        mesh,
        programs.getFirst().refused,
        stride == 1 ? "all " : "",
        wrong.size());
    assertThat(programs.getFirst().refused + wrong.size()).isGreaterThan(10);
  }

  @Test
  void everyMutantOfLanesOverPositionsAndFeaturesIsCaught() throws Exception {
    everyMutantIsCaught(CollectiveMutantsTest::lane, "a lane", 6, "cp=2,tp=2 sp", GPT);
  }

  @Test
  void everyMutantOfAStepOverLanesAndFeaturesIsCaught() throws Exception {
    everyMutantIsCaught(CollectiveMutantsTest::step, "a step", 6, "dp=2,tp=2", GPT);
  }

  static Stream<Arguments> lanes() {
    return Stream.of(
        Arguments.of("cp=2,tp=2 sp", GPT),
        Arguments.of("cp=2,tp=2", LLAMA),
        Arguments.of("tp=2,cp=2 sp", LLAMA),
        Arguments.of("cp=2,tp=2 sp", MOE),
        Arguments.of("cp=2,ep=2", MOE),
        Arguments.of("ep=2,tp=2", MOE),
        Arguments.of("ep=2,tp=2 sp", MOE));
  }

  @Tag("long")
  @ParameterizedTest(name = "--mesh {0}")
  @MethodSource("lanes")
  void everyMutantOfLanesOverTwoAxesIsCaught(String mesh, ModelShape shape) throws Exception {
    everyMutantIsCaught(CollectiveMutantsTest::lane, "a lane", 1, mesh, shape);
  }

  @Tag("long")
  @ParameterizedTest(name = "--mesh {0}")
  @MethodSource("steps")
  void everyMutantOfStepsOverTwoAxesIsCaught(String mesh, ModelShape shape) throws Exception {
    everyMutantIsCaught(CollectiveMutantsTest::step, "a step", 1, mesh, shape);
  }

  static Stream<Arguments> steps() {
    return Stream.of(
        Arguments.of("dp=2,cp=2", LLAMA),
        Arguments.of("dp=2,ep=2", MOE),
        Arguments.of("ep=2,tp=2", MOE),
        Arguments.of("dp=2,tp=2", GPT));
  }
}
