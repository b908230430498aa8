package dev.lockstep.device.neuron;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import dev.lockstep.device.neuron.hlo.HloEmitter;
import dev.lockstep.device.neuron.hlo.SumOrder;
import dev.lockstep.graph.Graph;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.train.Layout;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Recipe.SumBlocks;
import dev.lockstep.train.RunGraphs;
import dev.lockstep.train.Trainer;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusListener;
import dev.lockstep.train.data.DataOptions;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.pipeline.PipelineSchedule;
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
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/// The training job on stand-ins beside the CPU device: programs with their collectives inside, or
/// cut where the host runs them.
@Timeout(120)
final class TrainingTest {
  private static final int STEPS = 3;

  // The stand-in computes in binary64 and keeps binary32 between programs.
  private static final double TOLERANCE = 5e-5;

  @TempDir private Path folder;

  private static final ModelShape GPT = new GptShape(2, 2, 16, 8, 256, true);
  private static final ModelShape DEEP_GPT = new GptShape(4, 2, 16, 8, 256, true);
  private static final ModelShape LLAMA = LlamaShape.of(1, 4, 2, 16, 24, 8);
  private static final ModelShape MOE = new MoeShape(1, 2, 8, 12, 4, 2, 125, 10, 8, 256, true);

  static Stream<Arguments> layouts() {
    return Stream.of(
        arguments(GPT, "dp=1", 0, StandInProvider.NAME),
        arguments(GPT, "dp=2", 0, StandInProvider.NAME),
        arguments(GPT, "dp=2", 0, StandInProvider.ByHost.NAME),
        arguments(GPT, "dp=3", 0, StandInProvider.NAME),
        arguments(GPT, "tp=2", 0, StandInProvider.NAME),
        arguments(GPT, "dp=2", 2, StandInProvider.NAME),
        arguments(GPT, "pp=2", 0, StandInProvider.NAME),
        arguments(LLAMA, "dp=2", 0, StandInProvider.NAME),
        arguments(MOE, "dp=2", 0, StandInProvider.NAME));
  }

  static Stream<Arguments> manyLayouts() {
    return Stream.of(
        arguments(GPT, "dp=2,tp=2", 0, StandInProvider.NAME),
        arguments(GPT, "cp=2", 0, StandInProvider.NAME),
        arguments(GPT, "tp=2,pp=2", 0, StandInProvider.NAME),
        arguments(GPT, "tp=2", 0, StandInProvider.ByHost.NAME),
        arguments(GPT, "dp=2", 1, StandInProvider.NAME),
        arguments(GPT, "dp=2", 3, StandInProvider.NAME),
        arguments(LLAMA, "tp=2", 0, StandInProvider.NAME));
  }

  @ParameterizedTest(name = "{0}, --mesh {1}, --zero {2}, {3}")
  @MethodSource("layouts")
  void losesAsMuchPerStepAsOnTheCpu(ModelShape shape, String mesh, int zero, String device)
      throws Exception {
    train(shape, Layout.parse(mesh).withZero(zero), device);
  }

  @Tag("long")
  @ParameterizedTest(name = "{0}, --mesh {1}, --zero {2}, {3}")
  @MethodSource("manyLayouts")
  void losesAsMuchUnderManyLayouts(ModelShape shape, String mesh, int zero, String device)
      throws Exception {
    train(shape, Layout.parse(mesh).withZero(zero), device);
  }

  /// Stages that share out their state, and stages that take chunks of layers in turn.
  @Tag("long")
  @ParameterizedTest(name = "--mesh {0}, --zero {1}, --schedule {2}, {3}")
  @CsvSource({
    "'dp=2,pp=2', 1, ONE_FORWARD_ONE_BACKWARD, neuron-stand-in",
    "'dp=2,pp=2', 2, ONE_FORWARD_ONE_BACKWARD, neuron-stand-in",
    "'dp=2,pp=2', 3, ONE_FORWARD_ONE_BACKWARD, neuron-stand-in",
    "pp=2, 0, INTERLEAVED, neuron-stand-in",
    "'dp=2,pp=2', 2, INTERLEAVED, neuron-stand-in",
    "'dp=2,pp=2', 3, INTERLEAVED, neuron-stand-in-by-host"
  })
  void losesAsMuchInAnyPipeline(String mesh, int zero, PipelineSchedule schedule, String device)
      throws Exception {
    train(DEEP_GPT, Layout.parse(mesh).withZero(zero).withSchedule(schedule), device);
  }

  private void train(ModelShape shape, Layout layout, String device) throws Exception {
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
    // Features and positions are spread over devices that keep no order of sums.
    Recipe recipe =
        Recipe.defaults()
            .withModel(shape)
            .withBatch(BatchShape.of(3, 2))
            .withBlocks(new SumBlocks(4, 2))
            .withSteps(STEPS)
            .withSameBits(layout.size(Layout.TENSOR, 1) * layout.size(Layout.CONTEXT, 1) == 1);
    TrainerOptions options = TrainerOptions.defaults().withThreads(1);
    double[] expected = losses(recipe, options.withDevice("cpu"), text, 1);
    StandInProvider.COMPILED.clear();
    TrainerOptions spread = options.withDevice(device).withLayout(layout);
    assertClose(losses(recipe, spread, text, layout.places()), expected);
    assertThat(compiledAhead(recipe, spread, device)).containsAll(StandInProvider.COMPILED);
  }

  /// What `lockstep compile` would have put into the cache.
  private static Set<String> compiledAhead(Recipe recipe, TrainerOptions options, String device) {
    Set<String> modules = new HashSet<>();
    int ranks = options.layout().places();
    boolean keeps = device.equals(StandInProvider.NAME);
    List<RunGraphs.Group> groups =
        keeps
            ? RunGraphs.of(recipe, options, ranks)
            : RunGraphs.betweenCollectives(recipe, options, ranks);
    SumOrder order = recipe.sameBits() || !keeps ? SumOrder.LANE_TREE : SumOrder.COMPILER;
    for (RunGraphs.Group group : groups) {
      for (List<Graph> graphs : group.graphs().values()) {
        for (Graph graph : graphs) {
          byte[] proto = HloEmitter.emit(graph, group.ranks(), order).proto();
          modules.add(HexFormat.of().formatHex(proto));
        }
      }
    }
    return modules;
  }

  private static void assertClose(double[] found, double[] expected) {
    for (int step = 0; step < STEPS; step++) {
      assertThat(found[step]).isCloseTo(expected[step], within(TOLERANCE));
    }
  }

  /// Trains with ranks as threads and returns the losses of rank 0.
  private double[] losses(Recipe recipe, TrainerOptions options, Path text, int ranks)
      throws Exception {
    List<Future<double[]>> all = new ArrayList<>();
    try (ExecutorService threads = Executors.newFixedThreadPool(ranks)) {
      for (Job job : Job.inProcess(ranks, JobConfig.of(Map.of()))) {
        all.add(threads.submit(() -> losses(job, recipe, options, text)));
      }
    }
    for (Future<double[]> each : all) {
      assertThat(each.get()).hasSize(STEPS);
    }
    return all.getFirst().get();
  }

  private double[] losses(Job job, Recipe recipe, TrainerOptions options, Path text) {
    try (job) {
      try {
        return trained(job, recipe, options, text);
      } catch (RuntimeException | Error failure) {
        job.fail(failure, "");
        throw failure;
      }
    }
  }

  private double[] trained(Job job, Recipe recipe, TrainerOptions options, Path text) {
    try (Corpus corpus =
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
