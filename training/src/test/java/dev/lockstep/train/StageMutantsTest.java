package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.Mesh;
import dev.lockstep.failure.LockstepException;
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
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.optim.StagePlace;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.placement.CollectiveMutants;
import dev.lockstep.train.placement.CollectiveMutants.Mutant;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Stages run step programs of their own, in which they meet one another, and each the same stage
/// of other pipelines. A collective that is dropped, doubled or on another axis, on all ranks that
/// meet in it, is refused by its types, ends in other bits on some rank, or where others than those
/// ranks wait for one another then in a failure that says so.
@Timeout(120)
class StageMutantsTest {
  private static final GptShape GPT = new GptShape(2, 2, 8, 8, 256, true);
  private static final LlamaShape LLAMA =
      new LlamaShape(2, 4, 2, 16, 8, 8, 256, false, 10_000, 1e-5f);
  private static final MoeShape MOE = new MoeShape(2, 2, 8, 6, 4, 2, 100, 10, 8, 256, true);

  private static final int MIXED_STRIDE = 6;

  /// How long ranks wait that stand in different collectives.
  private static final Duration WAIT = Duration.ofSeconds(1);

  /// The step programs of all ranks of a mesh, and what may be wrong with them.
  private static final class StagedStep {
    private final Recipe recipe;
    private final Layout layout;
    private final List<Graph> right = new ArrayList<>(); // by rank
    private final List<Turn> wrong = new ArrayList<>();
    private int refused;

    /// One wrong collective.
    ///
    /// @param graphs what ranks run then, those alone that meet in it
    /// @param mixes whether they then meet ranks that know nothing of it
    private record Turn(Which what, Map<Integer, Graph> graphs, boolean mixes) {}

    /// Which collective is wrong, as all ranks name it that meet in it.
    ///
    /// @param axis where they meet
    /// @param number of those on the axis, from 1
    /// @param stage of which they all are; -1 for the axes of stages
    /// @param wrong what is wrong with it
    private record Which(String axis, int number, int stage, String wrong) {
      boolean goesTo(String other) {
        return wrong.equals("on " + other);
      }
    }

    StagedStep(ModelShape shape, String mesh, int zero) {
      recipe =
          Recipe.defaults()
              .withModel(shape)
              .withBlocks(new SumBlocks(4, 4))
              .withBatch(new BatchShape(3, 1, 3));
      layout = Layout.parse(mesh).withZero(zero);
      layout.check(recipe, layout.places());
      IntStream.range(0, layout.places()).mapToObj(this::program).forEach(right::add);
      right.forEach(CollectiveMutants::built); // what is right passes
      Map<Which, Map<Integer, Graph>> mutants = new LinkedHashMap<>();
      for (int rank = 0; rank < layout.places(); rank++) {
        addMutants(rank, mutants);
      }
      mutants.forEach(this::add);
    }

    private Grid grid(int rank) {
      return Grid.of(layout, rank, layout.places());
    }

    /// The program of what follows a rank's lanes.
    private Graph program(int rank) {
      Grid grid = grid(rank);
      ModelPrograms models =
          recipe.programs(recipe.model().model(recipe.blocks().tensor()), Recompute.NONE);
      Stages stages = Stages.of(grid, layout.chunks(), models, recipe.batch().microBatch());
      if (grid.isSharded()) {
        HeldParameters held = stages.held().get(grid.pipeline().rank());
        return ShardUpdate.graph(
            recipe,
            grid,
            stages,
            GradientGroups.of(grid, held, stages.ownByChunk(), stages.isLast()));
      }
      LaneSplit lanes = LaneSplit.contiguous(recipe.batch().lanes(), grid.data().ranks());
      return StepGraph.trace(
          stages.own(), recipe.optimizer(), grid.stepPlace(lanes, stages.place()));
    }

    private void addMutants(int rank, Map<Which, Map<Integer, Graph>> mutants) {
      Graph graph = right.get(rank);
      Map<String, Integer> counts = new HashMap<>();
      for (int index : CollectiveMutants.live(graph)) {
        String axis = CollectiveMutants.axis(graph.nodes().get(index));
        int number = counts.merge(axis, 1, Integer::sum);
        boolean isOfStages = axis.equals(Layout.PIPELINE) || axis.equals(StagePlace.ENDS);
        int stage = isOfStages ? -1 : grid(rank).pipeline().rank();
        for (Mutant mutant : CollectiveMutants.misplaced(graph, index, axes(axis))) {
          mutants
              .computeIfAbsent(
                  new Which(axis, number, stage, mutant.wrong()), _ -> new LinkedHashMap<>())
              .put(rank, mutant.graph());
        }
      }
    }

    /// The axes that a collective may be moved to; of two stages both are ends.
    private List<String> axes(String from) {
      List<String> axes = new ArrayList<>(layout.axes().stream().map(Mesh.Axis::name).toList());
      if (layout.size(Layout.PIPELINE) > 2) {
        axes.add(StagePlace.ENDS);
      } else if (from.equals(StagePlace.ENDS)) {
        axes.remove(Layout.PIPELINE);
      }
      return axes;
    }

    private void add(Which what, Map<Integer, Graph> graphs) {
      Map<Integer, Graph> built = new LinkedHashMap<>();
      try {
        graphs.forEach((rank, graph) -> built.put(rank, CollectiveMutants.built(graph)));
        wrong.add(new Turn(what, built, mixes(what, graphs.keySet())));
      } catch (IllegalArgumentException caught) {
        refused++;
      }
    }

    /// Whether ranks on the other axis stand elsewhere, or are more or fewer.
    private boolean mixes(Which what, Set<Integer> ranks) {
      boolean isOfAll = ranks.size() == layout.places();
      boolean isUnlike =
          layout.axes().stream()
              .anyMatch(axis -> what.goesTo(axis.name()) && axis.size() != layout.size(what.axis));
      return what.goesTo(StagePlace.ENDS)
          || (what.goesTo(Layout.PIPELINE) && !isOfAll)
          || (isUnlike && !what.axis.equals(StagePlace.ENDS));
    }

    /// What all ranks make of some programs, by rank.
    private <T> List<T> onRanks(Duration timeout, Function<RankRun, T> work) throws Exception {
      TrainerOptions usual = TrainerOptions.defaults();
      TrainerOptions options =
          new TrainerOptions(
              "cpu", 1, 0, "", timeout, usual.recompute(), layout, usual.bucketBytes());
      return InProcessRanks.run(
          layout.places(),
          job -> {
            try (Scope scope = new Scope()) {
              JobExchange exchange = JobExchange.open(scope, job, recipe, options);
              try {
                RankCompute compute = RankCompute.open(scope, options, job, exchange.place());
                return work.apply(new RankRun(job, compute));
              } catch (RuntimeException | Error failure) {
                exchange.abandon(failure);
                throw failure;
              }
            }
          });
    }

    private record RankRun(Job job, RankCompute compute) {
      String right(List<Graph> programs) {
        return ProgramBits.of(compute, job.rank(), programs.get(job.rank()));
      }

      String wrong(Turn turn, List<Graph> programs) {
        Graph graph = turn.graphs.getOrDefault(job.rank(), programs.get(job.rank()));
        return ProgramBits.ofWrong(compute, job.rank(), graph);
      }
    }

    private List<String> outcomes(RankRun rank, List<Turn> turns) {
      List<String> outcomes = new ArrayList<>();
      outcomes.add(rank.right(right));
      outcomes.add(rank.right(right));
      turns.forEach(turn -> outcomes.add(rank.wrong(turn, right)));
      return outcomes;
    }

    void everyMutantIsCaught() throws Exception {
      List<Turn> together = wrong.stream().filter(turn -> !turn.mixes).toList();
      List<List<String>> ranks =
          onRanks(TrainerOptions.defaults().timeout(), rank -> outcomes(rank, together));
      assertThat(ranks).allSatisfy(bits -> assertThat(bits.get(1)).isEqualTo(bits.getFirst()));
      for (int i = 0; i < together.size(); i++) {
        int turn = i + 2;
        assertThat(ranks)
            .as("--mesh %s: %s", layout.words(), together.get(i).what)
            .anySatisfy(bits -> assertThat(bits.get(turn)).isNotEqualTo(bits.getFirst()));
      }
      int failed = 0;
      // Each takes a job of its own, and the gradients' are like one another.
      List<Turn> mixed = wrong.stream().filter(Turn::mixes).toList();
      List<Turn> some =
          IntStream.range(0, mixed.size())
              .filter(i -> i % MIXED_STRIDE == 0)
              .mapToObj(mixed::get)
              .toList();
      for (Turn turn : some) {
        Optional<List<String>> bits = alone(turn);
        failed += bits.isEmpty() ? 1 : 0;
        List<String> wanted = ranks.stream().map(List::getFirst).toList();
        assertThat(bits)
            .as("--mesh %s: %s", layout.words(), turn.what)
            .isNotEqualTo(Optional.of(wanted));
      }
      System.out.printf(
          "collectives: a step of %s over %s, zero %d: %d mutants refused by types, %d others end"
              + " in other bits, %d of stages that part in a failure%n",
          recipe.model().family(),
          layout.words(),
          layout.zero(),
          refused,
          together.size() + some.size() - failed,
          failed);
      assertThat(refused + wrong.size()).isGreaterThan(2);
    }

    /// What ranks make of a mutant in a job of its own; empty if they fail with a sentence.
    private Optional<List<String>> alone(Turn turn) throws Exception {
      try {
        return Optional.of(onRanks(WAIT, rank -> rank.wrong(turn, right)));
      } catch (LockstepException | IllegalArgumentException | IllegalStateException failure) {
        return Optional.empty();
      }
    }
  }

  @Test
  void everyMutantOfAStepOfTwoStagesIsCaught() throws Exception {
    new StagedStep(GPT, "pp=2", 0).everyMutantIsCaught();
  }

  static Stream<Arguments> meshes() {
    return Stream.of(
        Arguments.of(GPT, "dp=2,pp=2", 0),
        Arguments.of(GPT, "dp=2,pp=2", 1),
        Arguments.of(new GptShape(3, 2, 8, 8, 256, true), "pp=3,dp=2", 0),
        Arguments.of(GPT, "tp=2,pp=2", 0),
        Arguments.of(LLAMA, "pp=2,cp=2", 0),
        Arguments.of(LLAMA, "dp=2,tp=2,pp=2", 3),
        Arguments.of(MOE, "pp=2,ep=2", 0));
  }

  @Tag("long")
  @ParameterizedTest(name = "{0}, --mesh {1} --zero {2}")
  @MethodSource("meshes")
  void everyMutantOfAStepOfStagesIsCaught(ModelShape shape, String mesh, int zero)
      throws Exception {
    new StagedStep(shape, mesh, zero).everyMutantIsCaught();
  }
}
