package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.device.Program;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.Recompute;
import java.nio.file.Path;
import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class RecomputeTest {
  private static final Recipe RECIPE =
      Recipe.defaults()
          .withModel(new GptShape(4, 2, 32, 24, 256, true))
          .withBatch(Recipe.BatchShape.of(2, 3))
          .withSteps(4);

  @TempDir Path folder;

  private static TrainerOptions options(Recompute recompute) {
    return TrainerOptions.defaults().withThreads(2).withRecompute(recompute);
  }

  @Test
  void whatIsComputedAgainChangesNoBit() throws Exception {
    Map<Recompute, String> weights = new EnumMap<>(Recompute.class);
    try (Corpus corpus = TinyText.open(TinyText.write(folder.resolve("text")))) {
      for (Recompute recompute : Recompute.values()) {
        try (Job job = Job.inProcess(1, JobConfig.of(Map.of())).getFirst();
            Trainer trainer = Trainer.start(job, RECIPE, corpus, options(recompute))) {
          while (trainer.stepsDone() < RECIPE.steps()) {
            trainer.step(false);
          }
          weights.put(recompute, trainer.weightsSha256() + trainer.optimizerSha256());
        }
      }
    }
    assertThat(weights.values()).containsOnly(weights.get(Recompute.NONE));
  }

  private record LaneProgram(long arenaBytes, long flops) {
    static LaneProgram of(Recompute recompute) {
      try (MemoryPool pool = MemoryPool.root("plan", 1L << 32);
          StepPlan plan = new StepPlan(pool, RECIPE, options(recompute), 1)) {
        Program lane = Objects.requireNonNull(plan.programs().get("lanes")).getFirst();
        long flops = lane.steps().stream().mapToLong(step -> step.cost().flops()).sum();
        return new LaneProgram(lane.arenaBytes(), flops);
      }
    }
  }

  @Test
  void theLessIsKeptTheSmallerTheArenaAndTheGreaterTheWork() {
    LaneProgram none = LaneProgram.of(Recompute.NONE);
    LaneProgram attention = LaneProgram.of(Recompute.ATTENTION);
    LaneProgram block = LaneProgram.of(Recompute.BLOCK);
    assertThat(attention.arenaBytes).isLessThan(none.arenaBytes * 9 / 10);
    assertThat(block.arenaBytes).isLessThan(attention.arenaBytes * 9 / 10);
    assertThat(attention.flops).isGreaterThan(none.flops);
    assertThat(block.flops).isGreaterThan(attention.flops).isLessThan(none.flops * 4 / 3);
  }

  @Test
  void anUnknownChoiceIsNamedWithTheKnownOnes() {
    assertThatThrownBy(() -> Recompute.of("everything"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("everything")
        .hasMessageContaining("none, attention, block");
  }
}
