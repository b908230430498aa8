package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.cuda.StandIns;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.train.Layout;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Trainer;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusListener;
import dev.lockstep.train.data.DataOptions;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.nn.Precision;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Whole training steps on the CUDA device, whose libraries are the stand-ins: beside the CPU
/// device, whose bits its kernels keep where products are exact.
@Timeout(120)
class CudaTrainingTest {
  private static final int STEPS = 2;
  private static final String[] PROPERTIES = {
    "lockstep.libcuda", "lockstep.libnvrtc", "lockstep.libcublaslt", "lockstep.cubins"
  };

  @TempDir Path folder;

  private record Result(List<Float> losses, String weights) {}

  @BeforeAll
  static void takeTheStandIns() {
    StandIns.assumeCompiler();
    System.setProperty("lockstep.libcuda", StandIns.cuda().toString());
    System.setProperty("lockstep.libnvrtc", StandIns.nvrtc().toString());
    System.setProperty("lockstep.libcublaslt", "none");
    System.setProperty("lockstep.cubins", StandIns.cache().toString());
  }

  @AfterAll
  static void leaveThem() {
    for (String property : PROPERTIES) {
      System.clearProperty(property);
    }
  }

  private static Recipe recipe(ModelShape model) {
    return Recipe.defaults().withModel(model).withBatch(BatchShape.of(2, 2)).withSteps(STEPS);
  }

  private static Recipe gpt() {
    return recipe(new GptShape(1, 2, 16, 12, 256, true));
  }

  private static Result train(Job job, Recipe recipe, Corpus corpus, TrainerOptions options) {
    try (job) {
      try (Trainer trainer = Trainer.start(job, recipe, corpus, options.withThreads(1))) {
        List<Float> losses = new ArrayList<>();
        while (trainer.stepsDone() < STEPS) {
          trainer.step(false);
          losses.add(trainer.loss());
        }
        return new Result(losses, trainer.weightsSha256());
      } catch (RuntimeException | Error failure) {
        job.fail(failure, "");
        throw failure;
      }
    }
  }

  /// Trains on one rank for each device.
  private Result train(Recipe recipe, Layout layout, String... devices) throws Exception {
    TinyJob text = new TinyJob(folder);
    List<Result> results = new ArrayList<>();
    try (Corpus corpus =
            Corpus.open(DataOptions.of(text.text(), text.cache()), CorpusListener.SILENT);
        ExecutorService threads = Executors.newFixedThreadPool(devices.length)) {
      List<Future<Result>> ranks = new ArrayList<>();
      for (Job job : Job.inProcess(devices.length, JobConfig.of(Map.of()))) {
        TrainerOptions options =
            TrainerOptions.defaults().withDevice(devices[job.rank()]).withLayout(layout);
        ranks.add(threads.submit(() -> train(job, recipe, corpus, options)));
      }
      for (Future<Result> rank : ranks) {
        results.add(rank.get());
      }
    }
    assertThat(results).containsOnly(results.getFirst());
    return results.getFirst();
  }

  @Test
  void gptTrainsToTheBitsOfTheCpu() throws Exception {
    Result cpu = train(gpt(), Layout.dataParallel(), "cpu");
    assertThat(train(gpt(), Layout.dataParallel(), "cuda")).isEqualTo(cpu);
    assertThat(cpu.losses().getLast()).isLessThan(cpu.losses().getFirst());
  }

  @Test
  void ranksOnCpuAndCudaTrainOneModel() throws Exception {
    Result alone = train(gpt(), Layout.dataParallel(), "cpu");
    Layout sharded = Layout.dataParallel().withZero(1);
    assertThat(train(gpt(), sharded, "cpu", "cuda")).isEqualTo(alone);
  }

  @Test
  void twoGpusTrainAsOne() throws Exception {
    Result alone = train(gpt(), Layout.dataParallel(), "cpu");
    assertThat(train(gpt(), Layout.dataParallel(), "cuda", "cuda")).isEqualTo(alone);
  }

  @Test
  void bfloat16TrainsToTheBitsOfTheCpu() throws Exception {
    Recipe recipe = gpt().withPrecision(Precision.BF16);
    Result cpu = train(recipe, Layout.dataParallel(), "cpu");
    assertThat(train(recipe, Layout.dataParallel(), "cuda")).isEqualTo(cpu);
  }
}
