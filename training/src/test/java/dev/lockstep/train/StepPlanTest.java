package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.withinPercentage;

import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import java.nio.file.Path;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(60)
class StepPlanTest {
  @TempDir Path folder;

  @ParameterizedTest(name = "layers={0}, width={1}, lanes={2}, threads={3}")
  @CsvSource({"1, 16, 1, 1", "2, 32, 3, 2", "3, 64, 4, 3"})
  void saysTheMemoryThatATrainerTakes(int layers, int width, int lanes, int threads)
      throws Exception {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new GptShape(layers, 2, width, 32, 256, true))
            .withBatch(Recipe.BatchShape.of(lanes, 2));
    TrainerOptions options = TrainerOptions.defaults().withThreads(threads);
    long planned;
    try (MemoryPool pool = MemoryPool.root("plan", 1L << 32);
        StepPlan plan = new StepPlan(pool, recipe, options, 1)) {
      planned = plan.peakBytes();
      assertThat(plan.runs()).containsEntry("lanes", lanes).containsEntry("joins", lanes - 1);
    }
    try (Job job = Job.inProcess(1, JobConfig.fromEnvironment()).getFirst();
        Corpus corpus = TinyText.open(TinyText.write(folder.resolve("text")))) {
      long before = job.memory().usedBytes();
      try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
        trainer.step(false);
        assertThat(planned).isCloseTo(job.memory().usedBytes() - before, withinPercentage(2));
      }
    }
  }
}
