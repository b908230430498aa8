package dev.lockstep.examples.gpt;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Layout;
import dev.lockstep.train.ProgressListener;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.SavedRun;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.TrainingRun;
import dev.lockstep.train.data.DataOptions;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.nn.Precision;
import dev.lockstep.train.optim.LearningRate;
import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// The options of the `gpt` job. What is null was not given: a fresh run takes the default, a
/// resumed one what it was started with.
@Command(
    name = "gpt",
    description =
        "Trains a byte-level GPT on text, by default the Java files of this JDK's own lib/src.zip.",
    sortOptions = false,
    usageHelpAutoWidth = true)
final class GptOptions {
  private static final int DEFAULT_SAVE_EVERY = 100;
  private static final int EVALUATE_EVERY = 200;

  @Option(
      names = "--data",
      paramLabel = "DIR|ZIP|FILE",
      description = "text to train on; default: the Java files of this JDK's lib/src.zip")
  @Nullable Path data;

  @Option(names = "--steps", paramLabel = "N", description = "training steps; default 2000")
  @Nullable Integer steps;

  @Option(names = "--layers", paramLabel = "N", description = "transformer blocks; default 4")
  @Nullable Integer layers;

  @Option(names = "--heads", paramLabel = "N", description = "attention heads; default 4")
  @Nullable Integer heads;

  @Option(names = "--width", paramLabel = "N", description = "features of a token; default 128")
  @Nullable Integer width;

  @Option(names = "--context", paramLabel = "N", description = "bytes of a window; default 64")
  @Nullable Integer context;

  @Option(
      names = "--lanes",
      paramLabel = "N",
      description = "units of data parallelism, at least one per rank; default 4")
  @Nullable Integer lanes;

  @Option(names = "--micro-batch", paramLabel = "N", description = "windows of a lane; default 3")
  @Nullable Integer microBatch;

  @Option(names = "--lr", paramLabel = "RATE", description = "peak learning rate; default 0.003")
  @Nullable Float learningRate;

  @Option(
      names = "--seed",
      paramLabel = "N",
      description = "of the first weights, the data's order and the sample; default 1")
  @Nullable Long seed;

  @Option(
      names = "--untied",
      description = "give the head a weight of its own, not the token embedding's")
  boolean untied;

  @Option(
      names = "--relaxed",
      description = "prefer speed: the bits of the result then depend on the number of ranks")
  boolean relaxed;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "compute threads of a rank; default: the processors shared by the host's ranks")
  @Nullable Integer threads;

  @Option(names = "--device", paramLabel = "NAME", description = "device; default ${DEFAULT-VALUE}")
  String device = "cpu";

  @Option(
      names = "--transport",
      paramLabel = "NAME",
      description = "shm, aeron-ipc or aeron-udp; default: the best that reaches all ranks")
  String transport = "";

  @Option(
      names = "--mesh",
      paramLabel = "AXES",
      description =
          "how ranks are laid out, for example dp=2,tp=2; the bits stay; default: all on dp")
  @Nullable String mesh;

  @Option(
      names = "--zero",
      paramLabel = "N",
      description =
          "what ranks of dp share out: 0 nothing, 1 the optimizer's state, 2 the sums of gradients"
              + " too, 3 the parameters too; the bits stay; default ${DEFAULT-VALUE}")
  int zero;

  @Option(
      names = "--recompute",
      paramLabel = "WHAT",
      description =
          "activations computed again instead of kept: none, attention or block; the bits stay;"
              + " default ${DEFAULT-VALUE}")
  String recompute = Recompute.NONE.label();

  @Option(
      names = "--precision",
      paramLabel = "FLOATS",
      description =
          "f32, or bf16 for products and kept activations with float32 masters; default f32")
  @Nullable String precision;

  @Option(
      names = "--save-every",
      paramLabel = "N",
      description = "steps between checkpoints, 0 for the end alone; default ${DEFAULT-VALUE}")
  int saveEvery = DEFAULT_SAVE_EVERY;

  @Option(
      names = "--cache",
      paramLabel = "DIR",
      description = "folder of the token cache; default: lockstep in the user's cache folder")
  @Nullable Path cache;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description = "output folder; default runs/gpt-TIME, or the resumed run's")
  @Nullable Path out;

  @Option(
      names = "--resume",
      paramLabel = "DIR",
      description = "continue a run bit for bit: its output folder, or a checkpoint")
  @Nullable Path resume;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "show this and exit")
  boolean help;

  /// Returns the recipe of a fresh run.
  ///
  /// @throws ConfigurationException if an option does not fit
  Recipe freshRecipe() {
    Recipe defaults = Recipe.defaults();
    GptShape shape = GptShape.defaults();
    BatchShape batch = defaults.batch();
    int stepCount = orElse(steps, defaults.steps());
    return defaults
        .withModel(
            new GptShape(
                orElse(layers, shape.layers()),
                orElse(heads, shape.heads()),
                orElse(width, shape.width()),
                orElse(context, shape.context()),
                shape.vocabulary(),
                !untied))
        .withBatch(
            BatchShape.of(orElse(lanes, batch.lanes()), orElse(microBatch, batch.microBatch())))
        .withSteps(stepCount)
        .withLearningRate(
            LearningRate.of(orElse(learningRate, Recipe.DEFAULT_LEARNING_RATE), stepCount))
        .withSeed(orElse(seed, defaults.seed()))
        .withSameBits(!relaxed)
        .withPrecision(precision == null ? defaults.precision() : Precision.of(precision));
  }

  private static <T> T orElse(@Nullable T given, T otherwise) {
    return given == null ? otherwise : given;
  }

  /// Refuses options that say something else than the run that is resumed.
  ///
  /// @throws ConfigurationException that names the option and both values
  void requireNoContradiction(SavedRun saved) {
    Recipe recipe = saved.recipe();
    agree("--steps", steps, recipe.steps());
    agree("--layers", layers, recipe.model().layers());
    agree("--heads", heads, recipe.model() instanceof GptShape shape ? shape.heads() : 0);
    agree("--width", width, recipe.model().width());
    agree("--context", context, recipe.model().context());
    agree("--lanes", lanes, recipe.batch().lanes());
    agree("--micro-batch", microBatch, recipe.batch().microBatch());
    agree("--lr", learningRate, recipe.learningRate().peak());
    agree("--seed", seed, recipe.seed());
    agree("--untied", untied ? true : null, !recipe.model().tiedHead());
    agree("--precision", precision, recipe.precision().label());
    agree("--relaxed", relaxed ? true : null, !recipe.sameBits());
  }

  private static <T> void agree(String option, @Nullable T given, T saved) {
    if (given != null && !Objects.equals(given, saved)) {
      throw new ConfigurationException(
          option,
          given.toString(),
          "contradicts the run that --resume continues: %s %s, resumed %s (leave it out, or start a fresh run)"
              .formatted(option, given, saved));
    }
  }

  /// Returns which text to train on.
  ///
  /// @throws ConfigurationException if this JDK has no sources and no text was given
  DataOptions dataOptions() {
    Path folder = cache == null ? DataOptions.defaultCache() : cache;
    return data == null ? DataOptions.jdkSources(folder) : DataOptions.of(data, folder);
  }

  /// Returns what is done beside the steps, with nobody listening.
  ///
  /// @throws ConfigurationException if a number does not fit
  TrainingRun trainingRun(Path checkpoint) {
    return new TrainingRun(
        checkpoint, saveEvery, EVALUATE_EVERY, ProgressListener.SILENT, () -> false);
  }

  /// Returns where and how fast a rank computes.
  ///
  /// @param share threads that this rank computes with if the user did not say
  TrainerOptions trainerOptions(int share) {
    return TrainerOptions.defaults()
        .withDevice(device)
        .withThreads(threads == null ? share : threads)
        .withTransport(transport)
        .withRecompute(Recompute.of(recompute))
        .withLayout((mesh == null ? Layout.dataParallel() : Layout.parse(mesh)).withZero(zero));
  }
}
