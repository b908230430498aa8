package dev.lockstep.device.neuron;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.device.RankGrid;
import dev.lockstep.device.neuron.hlo.HloEmitter;
import dev.lockstep.device.neuron.hlo.SumOrder;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.RunGraphs;
import dev.lockstep.train.Trainer;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusListener;
import dev.lockstep.train.data.DataOptions;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.ModelShape;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// The training job on the stand-in beside the CPU device.
@Timeout(120)
final class TrainingTest {
  private static final int STEPS = 3;

  // The stand-in computes in binary64 and keeps binary32 between programs.
  private static final double TOLERANCE = 5e-5;

  @TempDir private Path folder;

  static Stream<ModelShape> shapes() {
    return Stream.of(new GptShape(1, 2, 16, 8, 256, true), LlamaShape.of(1, 4, 2, 16, 24, 8));
  }

  @ParameterizedTest
  @MethodSource("shapes")
  void losesAsMuchPerStepAsOnTheCpu(ModelShape shape) throws Exception {
    assumeTrue(StandIn.hasCompiler(), "judge cc: no C compiler (apt-get install gcc libc6-dev)");
    Path text = Files.createDirectory(folder.resolve("text"));
    Random random = new Random(5);
    for (int file = 0; file < 20; file++) {
      StringBuilder words = new StringBuilder();
      random
          .ints(400, 0, 5)
          .forEach(word -> words.append("abc de fgh".substring(word)).append(' '));
      Files.writeString(text.resolve("f" + file + ".txt"), words);
    }
    Recipe recipe =
        Recipe.defaults().withModel(shape).withBatch(BatchShape.of(2, 2)).withSteps(STEPS);
    double[] expected = losses(recipe, "cpu", text, 1);
    for (int ranks : new int[] {1, 2}) {
      StandInProvider.COMPILED.clear();
      assertClose(losses(recipe, StandInProvider.NAME, text, ranks), expected);
      assertThat(compiledAhead(recipe, ranks)).containsAll(StandInProvider.COMPILED);
    }
  }

  /// What `lockstep compile` would have put into the cache.
  private static Set<String> compiledAhead(Recipe recipe, int ranks) {
    Set<String> modules = new HashSet<>();
    RunGraphs.betweenCollectives(recipe, TrainerOptions.defaults(), ranks)
        .forEach(
            (_, graph) -> {
              byte[] proto = HloEmitter.emit(graph, RankGrid.ALONE, SumOrder.LANE_TREE).proto();
              modules.add(HexFormat.of().formatHex(proto));
            });
    return modules;
  }

  private static void assertClose(double[] found, double[] expected) {
    for (int step = 0; step < STEPS; step++) {
      assertThat(found[step]).isCloseTo(expected[step], within(TOLERANCE));
    }
  }

  /// Trains with ranks as threads and returns the losses of rank 0.
  private double[] losses(Recipe recipe, String device, Path text, int ranks) throws Exception {
    List<Future<double[]>> all = new ArrayList<>();
    try (ExecutorService threads = Executors.newFixedThreadPool(ranks)) {
      for (Job job : Job.inProcess(ranks, JobConfig.of(Map.of()))) {
        all.add(threads.submit(() -> losses(job, recipe, device, text)));
      }
    }
    for (Future<double[]> each : all) {
      assertThat(each.get()).hasSize(STEPS);
    }
    return all.getFirst().get();
  }

  private double[] losses(Job job, Recipe recipe, String device, Path text) {
    TrainerOptions options = TrainerOptions.defaults().withDevice(device).withThreads(1);
    try (job;
        Corpus corpus =
            Corpus.open(DataOptions.of(text, folder.resolve("cache")), CorpusListener.SILENT);
        Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
      double[] losses = new double[STEPS];
      for (int step = 0; step < STEPS; step++) {
        trainer.step(false);
        losses[step] = trainer.loss();
      }
      assertThat(trainer.weightsSha256()).hasSize(64);
      return losses;
    }
  }
}
