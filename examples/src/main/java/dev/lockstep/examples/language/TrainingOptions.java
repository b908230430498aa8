package dev.lockstep.examples.language;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Layout;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Recipe.SumBlocks;
import dev.lockstep.train.SavedRun;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.TrainingRun;
import dev.lockstep.train.checkpoint.CheckpointFolder;
import dev.lockstep.train.checkpoint.HuggingFaceFolder;
import dev.lockstep.train.data.DataOptions;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.nn.Precision;
import dev.lockstep.train.pipeline.PipelineSchedule;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// The options of the jobs that train language models. What is null was not given: a fresh run
/// takes the default, a resumed one what it was started with.
@Command(
    description =
        "Trains a byte-level language model on text, by default the Java files of this JDK's own"
            + " lib/src.zip.",
    sortOptions = false,
    usageHelpAutoWidth = true)
final class TrainingOptions {
  private static final int DEFAULT_SAVE_EVERY = 100;
  private static final int DEFAULT_SAMPLE = 300;
  private static final int EVALUATE_EVERY = 200;

  private final ModelShape family;

  @Option(
      names = "--recipe",
      paramLabel = "FILE",
      description =
          "what fixes the run's numbers, as a run's recipe.json has it, or a part of it; other"
              + " options are put over it")
  @Nullable Path recipe;

  @Option(
      names = "--weights",
      paramLabel = "DIR",
      description =
          "start from the weights of a GPT-2 or Llama folder of Hugging Face, or of a run's"
              + " checkpoint, and with its sizes; text stays bytes, whose numbers are not those of"
              + " a folder's own tokens")
  @Nullable Path weights;

  @Option(
      names = "--data",
      paramLabel = "DIR|ZIP|FILE",
      description =
          "text to train on; default: the Java files of this JDK's lib/src.zip, with --resume the"
              + " run's own text where the token cache has it")
  @Nullable Path data;

  @Option(names = "--steps", paramLabel = "N", description = "training steps; default 2000")
  @Nullable Integer steps;

  @Option(names = "--layers", paramLabel = "N", description = "blocks")
  @Nullable Integer layers;

  @Option(names = "--heads", paramLabel = "N", description = "attention heads (gpt, llama, moe)")
  @Nullable Integer heads;

  @Option(
      names = "--kv-heads",
      paramLabel = "N",
      description = "heads of keys and values, which heads share in groups (llama)")
  @Nullable Integer keyValueHeads;

  @Option(names = "--width", paramLabel = "N", description = "features of a token")
  @Nullable Integer width;

  @Option(
      names = "--hidden",
      paramLabel = "N",
      description = "features of a hidden layer (llama, mlp, an expert of moe)")
  @Nullable Integer hidden;

  @Option(names = "--window", paramLabel = "N", description = "bytes that a position sees (mlp)")
  @Nullable Integer window;

  @Option(names = "--experts", paramLabel = "N", description = "experts of a block (moe)")
  @Nullable Integer experts;

  @Option(
      names = "--experts-per-token",
      paramLabel = "N",
      description = "experts that a token goes to (moe)")
  @Nullable Integer expertsPerToken;

  @Option(
      names = "--capacity-percent",
      paramLabel = "N",
      description =
          "tokens of a lane that an expert takes, in percent of an even share; the rest is dropped"
              + " (moe)")
  @Nullable Integer capacityPercent;

  @Option(
      names = "--balance-permille",
      paramLabel = "N",
      description = "weight of the loss that spreads tokens over experts, in thousandths (moe)")
  @Nullable Integer balancePermille;

  @Option(names = "--context", paramLabel = "N", description = "bytes of a sequence")
  @Nullable Integer context;

  @Option(
      names = "--dropout",
      paramLabel = "RATE",
      description =
          "share of elements that fall out of embeddings and branches while training; default 0")
  @Nullable Float dropout;

  @Option(
      names = "--lanes",
      paramLabel = "N",
      description = "units of data parallelism, at least one per rank; default 4")
  @Nullable Integer lanes;

  @Option(names = "--micro-batch", paramLabel = "N", description = "windows of a lane; default 3")
  @Nullable Integer microBatch;

  @Option(
      names = "--tensor-blocks",
      paramLabel = "N",
      description = "blocks of sums over features, of which tp is a divisor; default 4")
  @Nullable Integer tensorBlocks;

  @Option(
      names = "--token-blocks",
      paramLabel = "N",
      description =
          "blocks of sums over positions, of which cp, times tp and ep with --sequence-parallel, is"
              + " a divisor; default 1")
  @Nullable Integer tokenBlocks;

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
      description =
          "compute threads of a rank, at most 1024; 0, the default, shares the host's processors")
  @Nullable Integer threads;

  @Option(names = "--device", paramLabel = "NAME", description = "device; default ${DEFAULT-VALUE}")
  String device = "cpu";

  @Option(
      names = "--transport",
      paramLabel = "NAME",
      description =
          "shm, aeron-ipc, aeron-udp, efa, ofi:PROVIDER, or shm+NAME for memory within hosts and"
              + " NAME between them; default: the best that reaches all ranks")
  String transport = "";

  @Option(
      names = "--timeout",
      paramLabel = "SECONDS",
      description =
          "how long a rank waits for the others in a collective before the run ends; default 120")
  @Nullable Integer timeout;

  @Option(
      names = "--mesh",
      paramLabel = "AXES",
      description =
          "how ranks are laid out over dp, tp, pp, cp and ep, for example dp=2,tp=2; the bits stay;"
              + " default: all on dp")
  @Nullable String mesh;

  @Option(
      names = "--sequence-parallel",
      description =
          "ranks of tp share out positions where they do not share out features, those of ep where"
              + " they do not share out experts; the bits stay")
  boolean sequenceParallel;

  @Option(
      names = "--zero",
      paramLabel = "N",
      description =
          "what ranks of dp share out: 0 nothing, 1 the optimizer's state, 2 the sums of gradients"
              + " too, 3 the parameters too; the bits stay; default ${DEFAULT-VALUE}")
  int zero;

  @Option(
      names = "--bucket-mb",
      paramLabel = "N",
      description =
          "MiB of gradients from which on ranks of dp reduce them together while the last lane goes"
              + " on, with --zero 0 and without pp, from an eighth of all on if that is less; 0:"
              + " all together after it; the bits stay; default ${DEFAULT-VALUE}")
  int bucketMb = 25;

  @Option(
      names = "--schedule",
      paramLabel = "ORDER",
      description =
          "in which order stages of pp take lanes: gpipe, 1f1b or interleaved; the bits stay;"
              + " default ${DEFAULT-VALUE}")
  String schedule = PipelineSchedule.ONE_FORWARD_ONE_BACKWARD.label();

  @Option(
      names = "--chunks",
      paramLabel = "N",
      description =
          "chunks of layers of each stage of pp, with --schedule interleaved; the bits stay;"
              + " default 2")
  @Nullable Integer chunks;

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
      names = "--keep-old",
      paramLabel = "N",
      description =
          "old checkpoints that stay beside the newest, as checkpoint.step-N; default 0, or with"
              + " --resume those that there are")
  @Nullable Integer keepOld;

  @Option(
      names = "--sample",
      paramLabel = "N",
      description =
          "bytes of text that the trained model writes at the end, and once more from its"
              + " checkpoint; 0 for none; default ${DEFAULT-VALUE}")
  int sample = DEFAULT_SAMPLE;

  @Option(
      names = "--cache",
      paramLabel = "DIR",
      description = "folder of the token cache; default: lockstep in the user's cache folder")
  @Nullable Path cache;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description = "output folder; default runs/MODEL-TIME, or the resumed run's")
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

  /// Makes the options of a family, none given yet.
  ///
  /// @param family its default shape
  TrainingOptions(ModelShape family) {
    this.family = family;
  }

  /// Returns the recipe of a fresh run.
  ///
  /// @throws ConfigurationException if an option does not fit
  Recipe freshRecipe() {
    Recipe base = baseRecipe();
    BatchShape batch = base.batch();
    Recipe changed =
        base.withModel(base.model().with(numbers(), base.model().tiedHead() && !untied))
            .withSeed(orElse(seed, base.seed()))
            .withSameBits(base.sameBits() && !relaxed)
            .withPrecision(precision == null ? base.precision() : Precision.of(precision))
            .withDropout(orElse(dropout, base.dropout()));
    if (lanes != null || microBatch != null) {
      changed =
          changed.withBatch(
              batch.with(orElse(lanes, batch.lanes()), orElse(microBatch, batch.microBatch())));
    }
    if (tensorBlocks != null || tokenBlocks != null) {
      SumBlocks blocks = base.blocks();
      changed =
          changed.withBlocks(
              new SumBlocks(
                  orElse(tensorBlocks, blocks.tensor()), orElse(tokenBlocks, blocks.tokens())));
    }
    if (learningRate != null) {
      changed = changed.withPeakLearningRate(learningRate);
    }
    if (steps != null) {
      changed = changed.withSteps(steps);
    }
    return changed;
  }

  /// What the other options are put over.
  private Recipe baseRecipe() {
    Recipe base = Recipe.defaults().withModel(family);
    if (recipe != null) {
      base = Recipe.read(recipe);
      requireFamily("--recipe", recipe, base.model());
    }
    if (weights != null) {
      ModelShape shape = HuggingFaceFolder.shape(weights);
      requireFamily("--weights", weights, shape);
      base = base.withModel(shape);
    }
    return base;
  }

  private void requireFamily(String option, Path file, ModelShape shape) {
    if (!shape.family().equals(family.family())) {
      throw new ConfigurationException(
          option,
          file.toString(),
          "the model is of another family: %s %s has %s (start it with lockstep run %s)"
              .formatted(option, file, shape.family(), shape.family()));
    }
  }

  /// The sizes that were given.
  private Map<String, Integer> numbers() {
    Map<String, Integer> given = new LinkedHashMap<>();
    put(given, "--layers", layers);
    put(given, "--heads", heads);
    put(given, "--kv-heads", keyValueHeads);
    put(given, "--width", width);
    put(given, "--hidden", hidden);
    put(given, "--window", window);
    put(given, "--experts", experts);
    put(given, "--experts-per-token", expertsPerToken);
    put(given, "--capacity-percent", capacityPercent);
    put(given, "--balance-permille", balancePermille);
    put(given, "--context", context);
    return given;
  }

  private static void put(Map<String, Integer> given, String option, @Nullable Integer number) {
    if (number != null) {
      given.put(option, number);
    }
  }

  private static <T> T orElse(@Nullable T given, T otherwise) {
    return given == null ? otherwise : given;
  }

  /// Refuses options that say something else than the run that is resumed.
  ///
  /// @throws ConfigurationException that names the option and both values
  void requireNoContradiction(SavedRun saved) {
    Recipe resumed = saved.recipe();
    requireFamily("--resume", saved.folder(), resumed.model());
    if (weights != null) {
      throw new ConfigurationException(
          "--weights",
          weights.toString(),
          "a resumed run has its weights: --weights %s, --resume %s (leave one of them out)"
              .formatted(weights, saved.folder()));
    }
    if (recipe != null && !asStartedFor(resumed).equals(resumed)) {
      throw new ConfigurationException(
          "--recipe",
          recipe.toString(),
          "contradicts the run that --resume continues: --recipe %s (leave it out, or start a fresh run)"
              .formatted(recipe));
    }
    agree("--steps", steps, resumed.steps());
    numbers()
        .forEach((option, number) -> agree(option, number, resumed.model().numbers().get(option)));
    agree("--lanes", lanes, resumed.batch().lanes());
    agree("--micro-batch", microBatch, resumed.batch().microBatch());
    agree("--tensor-blocks", tensorBlocks, resumed.blocks().tensor());
    agree("--token-blocks", tokenBlocks, resumed.blocks().tokens());
    agree("--lr", learningRate, resumed.learningRate().peak());
    agree("--seed", seed, resumed.seed());
    agree("--untied", untied ? true : null, !resumed.model().tiedHead());
    agree("--precision", precision, resumed.precision().label());
    agree("--dropout", dropout, resumed.dropout());
    agree("--relaxed", relaxed ? true : null, !resumed.sameBits());
  }

  /// Returns the recipe of these options as the run that is resumed would have taken it: weights
  /// that it started from brought their model.
  private Recipe asStartedFor(Recipe resumed) {
    Recipe fresh = freshRecipe();
    return resumed.initialWeights().isEmpty()
        ? fresh
        : fresh.withModel(resumed.model()).withInitialWeights(resumed.initialWeights());
  }

  private static <T> void agree(String option, @Nullable T given, @Nullable Object saved) {
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
    Path folder = cacheFolder();
    return data == null ? DataOptions.jdkSources(folder) : DataOptions.of(data, folder);
  }

  /// Returns the folder of the token cache.
  Path cacheFolder() {
    return cache == null ? DataOptions.defaultCache() : cache;
  }

  /// Returns what is done beside the steps, with nobody listening.
  ///
  /// @throws ConfigurationException if a number does not fit
  TrainingRun trainingRun(Path checkpoint) {
    requireNotNegative("--sample", sample);
    return TrainingRun.savingTo(checkpoint)
        .withSaveEvery(saveEvery)
        .withKeepOld(keptOld())
        .withEvaluateEvery(EVALUATE_EVERY);
  }

  private int keptOld() {
    if (keepOld == null) {
      return resume == null ? 0 : CheckpointFolder.AS_BEFORE;
    }
    requireNotNegative("--keep-old", keepOld);
    return keepOld;
  }

  private static void requireNotNegative(String option, int number) {
    if (number < 0) {
      throw new ConfigurationException(
          option, "" + number, "too small: %s %d (at least 0)".formatted(option, number));
    }
  }

  /// Returns where and how fast a rank computes.
  ///
  /// @param share threads that this rank computes with if the user did not say
  TrainerOptions trainerOptions(int share) {
    TrainerOptions usual = TrainerOptions.defaults();
    return usual
        .withTimeout(timeout == null ? usual.timeout() : Duration.ofSeconds(timeout))
        .withDevice(device)
        .withThreads(threads == null ? share : threads)
        .withTransport(transport)
        .withRecompute(Recompute.of(recompute))
        .withBucketBytes((long) bucketMb << 20)
        .withLayout(Layout.of(mesh, zero, PipelineSchedule.of(schedule), chunks, sequenceParallel));
  }
}
