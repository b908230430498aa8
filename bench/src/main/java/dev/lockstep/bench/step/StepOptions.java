package dev.lockstep.bench.step;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Layout;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Recipe.SumBlocks;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.MlpShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.nn.Precision;
import dev.lockstep.train.pipeline.PipelineSchedule;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// The options of `lockstep perf step`.
@Command(
    name = "step",
    mixinStandardHelpOptions = true,
    sortOptions = false,
    usageHelpWidth = 100,
    description = "Training steps of a model: data, forward, backward and update.")
public final class StepOptions {
  /// With so many, stages wait for a fifth of the time at most (GPipe, section 2.3).
  private static final int LANES_PER_STAGE = 4;

  private static final int DEFAULT_LAYERS = 6;
  private static final int DEFAULT_HEADS = 6;
  private static final int DEFAULT_WIDTH = 384;
  private static final int DEFAULT_CONTEXT = 256;
  private static final int DEFAULT_VOCABULARY = 256;
  private static final int DEFAULT_MICRO_BATCH = 8;
  private static final int DEFAULT_WINDOW = 8;

  @Parameters(index = "0", paramLabel = "MODEL", description = "gpt, llama, mlp or moe")
  private String model = "";

  @Option(
      names = "-np",
      paramLabel = "N",
      description = "ranks, each a process (default: those of the mesh, else 1)")
  private @Nullable Integer ranks;

  @Option(
      names = "--recipe",
      paramLabel = "FILE",
      description =
          "take the recipe of a file, as run MODEL --recipe does; options about it are put over it")
  private @Nullable Path recipeFile;

  @Option(names = "--layers", paramLabel = "N", description = "blocks (default 6)")
  private @Nullable Integer layers;

  @Option(names = "--heads", paramLabel = "N", description = "heads (default 6)")
  private @Nullable Integer heads;

  @Option(
      names = "--kv-heads",
      paramLabel = "N",
      description = "heads of keys and values of llama (default: the heads)")
  private @Nullable Integer keyValueHeads;

  @Option(names = "--width", paramLabel = "N", description = "features (default 384)")
  private @Nullable Integer width;

  @Option(
      names = "--hidden",
      paramLabel = "N",
      description =
          "features of a hidden layer of llama (default 8/3 of the width), mlp (4 times it) or of"
              + " moe's experts (twice it)")
  private @Nullable Integer hidden;

  @Option(names = "--window", paramLabel = "N", description = "tokens that mlp sees (default 8)")
  private @Nullable Integer window;

  @Option(names = "--experts", paramLabel = "N", description = "experts of moe (default 8)")
  private @Nullable Integer experts;

  @Option(
      names = "--experts-per-token",
      paramLabel = "N",
      description = "experts that a token of moe goes to (default 2)")
  private @Nullable Integer expertsPerToken;

  @Option(names = "--context", paramLabel = "N", description = "tokens of a window (default 256)")
  private @Nullable Integer context;

  @Option(
      names = "--vocabulary",
      paramLabel = "N",
      description = "tokens that there are (default 256)")
  private @Nullable Integer vocabulary;

  @Option(names = "--micro-batch", paramLabel = "N", description = "windows of a lane (default 8)")
  private @Nullable Integer microBatch;

  @Option(
      names = "--mesh",
      paramLabel = "AXES",
      description =
          "how ranks are laid out over dp, tp, pp, cp and ep, for example dp=2,tp=2 (default: all"
              + " on dp)")
  private @Nullable String mesh;

  @Option(
      names = "--sequence-parallel",
      description =
          "ranks of tp share out positions where they do not share out features, those of ep where"
              + " they do not share out experts")
  private boolean sequenceParallel;

  @Option(
      names = "--zero",
      paramLabel = "N",
      description = "what ranks of dp share out: 0, 1, 2 or 3 (default ${DEFAULT-VALUE})")
  private int zero;

  @Option(
      names = "--bucket-mb",
      paramLabel = "N",
      description =
          "MiB of gradients from which on ranks of dp reduce them together while the last lane goes"
              + " on, with --zero 0 and without pp, from an eighth of all on if that is less; 0:"
              + " all together after it (default ${DEFAULT-VALUE})")
  private int bucketMb = 25;

  @Option(
      names = "--schedule",
      paramLabel = "ORDER",
      description =
          "in which order stages of pp take lanes: gpipe, 1f1b or interleaved (default"
              + " ${DEFAULT-VALUE})")
  private String schedule = PipelineSchedule.ONE_FORWARD_ONE_BACKWARD.label();

  @Option(
      names = "--chunks",
      paramLabel = "N",
      description = "chunks of layers of each stage of pp, with --schedule interleaved (default 2)")
  private @Nullable Integer chunks;

  @Option(
      names = "--relaxed",
      description = "sums over ranks as fast as may be: the bits depend on the layout")
  private boolean relaxed;

  @Option(
      names = "--lanes",
      paramLabel = "N",
      description = "lanes (default: one per place on dp; under pp four per stage and place)")
  private @Nullable Integer lanes;

  @Option(
      names = "--tensor-blocks",
      paramLabel = "N",
      description =
          "blocks of sums that tensor parallelism may split (default: the recipe's, 4; 1 is plain"
              + " sums)")
  private @Nullable Integer tensorBlocks;

  @Option(
      names = "--token-blocks",
      paramLabel = "N",
      description =
          "blocks of sums that sequence and context parallelism may split (default: the recipe's,"
              + " 1)")
  private @Nullable Integer tokenBlocks;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description =
          "compute threads of a rank, at most 1024 (0, the default: its share of the cores)")
  private int threads;

  @Option(
      names = "--device",
      paramLabel = "NAME",
      description = "device (default ${DEFAULT-VALUE})")
  private String device = "cpu";

  @Option(
      names = "--transport",
      paramLabel = "NAME",
      description =
          "shm, aeron-ipc, aeron-udp, efa, ofi:PROVIDER, or shm+NAME for memory within hosts and"
              + " NAME between them; default: the best that reaches all ranks")
  private String transport = "";

  @Option(
      names = "--vector-bits",
      paramLabel = "N",
      description = "64 (scalar), 128, 256 or 512 (default: the widest)")
  private int vectorBits;

  @Option(
      names = "--recompute",
      paramLabel = "WHAT",
      description = "activations not kept: none, attention or block (default ${DEFAULT-VALUE})")
  private String recompute = Recompute.NONE.label();

  @Option(names = "--precision", paramLabel = "FLOATS", description = "f32 or bf16 (default f32)")
  private @Nullable String precision;

  @Option(
      names = "--steps",
      paramLabel = "N",
      description = "timed steps (default ${DEFAULT-VALUE})")
  private int steps = 20;

  @Option(
      names = "--save-every",
      paramLabel = "N",
      description = "time rounds of N steps with a checkpoint and without, too (default: no)")
  private int saveEvery;

  @Option(
      names = "--warm-up",
      paramLabel = "SECONDS",
      description =
          "untimed steps before, for so long and until they allocate nothing, six times as long at"
              + " most (default ${DEFAULT-VALUE})")
  private int warmUpSeconds = 5;

  @Option(names = "--json", paramLabel = "FILE", description = "write the results as JSON too")
  private @Nullable Path json;

  @Option(
      names = "--plan",
      description =
          "times nothing: print the plan, its bytes, FLOPs, peak memory and predicted time")
  private boolean plan;

  private StepOptions() {}

  /// Reads the arguments that follow `perf step`.
  ///
  /// @throws ConfigurationException if one is unknown or wrong; the sentence names it
  public static StepOptions parse(List<String> arguments) {
    StepOptions options = new StepOptions();
    try {
      new CommandLine(options).parseArgs(arguments.toArray(String[]::new));
    } catch (CommandLine.ParameterException e) {
      throw new ConfigurationException(
          "perf step",
          String.join(" ", arguments),
          e.getMessage() + " (see lockstep perf step --help)",
          e);
    }
    options.check();
    return options;
  }

  private void check() {
    require(ranks() >= 1 && ranks() <= 1024, "-np", "" + ranks(), "must be 1 to 1024");
    require(steps >= 1, "--steps", "" + steps, "must be at least 1");
    require(saveEvery >= 0, "--save-every", "" + saveEvery, "must be at least 0");
    require(warmUpSeconds >= 0, "--warm-up", "" + warmUpSeconds, "must be at least 0");
    layout().check(recipe(), ranks());
  }

  private static void require(boolean holds, String option, String value, String rule) {
    if (!holds) {
      throw new ConfigurationException(
          option, value, "wrong option: " + option + "=" + value + " (" + rule + ")");
    }
  }

  /// Returns the help text.
  ///
  /// @param command what the user typed before the options
  public static String help(String command) {
    StringWriter text = new StringWriter();
    new CommandLine(new StepOptions())
        .setCommandName(command)
        .usage(new PrintWriter(text), CommandLine.Help.Ansi.OFF);
    return text.toString();
  }

  /// Returns the ranks to start.
  public int ranks() {
    return ranks != null ? ranks : layout().places();
  }

  /// Returns where the results go as JSON, if anywhere.
  public @Nullable Path json() {
    return json;
  }

  /// Returns whether the plan is to be printed and nothing timed.
  public boolean plan() {
    return plan;
  }

  int steps() {
    return steps;
  }

  int saveEvery() {
    return saveEvery;
  }

  int warmUpSeconds() {
    return warmUpSeconds;
  }

  /// Returns the recipe, long enough for any number of steps.
  Recipe recipe() {
    Recipe base = recipeFile == null ? usual() : read(recipeFile);
    SumBlocks blocks = base.blocks();
    int otherLanes = orElse(lanes, recipeFile == null ? usualLanes() : base.batch().lanes());
    return base.withModel(base.model().with(given(), base.model().tiedHead()))
        .withBatch(BatchShape.of(otherLanes, orElse(microBatch, base.batch().microBatch())))
        .withBlocks(
            new SumBlocks(
                orElse(tensorBlocks, blocks.tensor()), orElse(tokenBlocks, blocks.tokens())))
        .withSameBits(base.sameBits() && !relaxed)
        .withPrecision(precision == null ? base.precision() : Precision.of(precision))
        .withSteps(1_000_000);
  }

  private Recipe read(Path file) {
    Recipe found = Recipe.read(file);
    require(
        found.model().family().equals(model),
        "--recipe",
        file.toString(),
        "has " + found.model().family() + ", the command names " + model);
    return found.withInitialWeights(""); // any weights take as long
  }

  /// What is timed if the user does not say.
  private Recipe usual() {
    Map<String, Integer> numbers = new LinkedHashMap<>();
    int features = orElse(width, DEFAULT_WIDTH);
    numbers.put("--layers", DEFAULT_LAYERS);
    numbers.put("--width", features);
    numbers.put("--context", orElse(context, DEFAULT_CONTEXT));
    numbers.put("--vocabulary", DEFAULT_VOCABULARY);
    ModelShape family = ModelShape.defaults(model);
    switch (family) {
      case GptShape _ -> numbers.put("--heads", orElse(heads, DEFAULT_HEADS));
      case LlamaShape _ -> {
        numbers.put("--heads", orElse(heads, DEFAULT_HEADS));
        numbers.put("--kv-heads", orElse(keyValueHeads, orElse(heads, DEFAULT_HEADS)));
        numbers.put("--hidden", features * 8 / 3);
      }
      case MlpShape _ -> {
        numbers.put("--hidden", features * 4);
        numbers.put("--window", orElse(window, DEFAULT_WINDOW));
      }
      case MoeShape _ -> {
        numbers.put("--heads", orElse(heads, DEFAULT_HEADS));
        numbers.put("--hidden", features * 2);
      }
    }
    return Recipe.defaults()
        .withModel(family.with(numbers, true))
        .withBatch(BatchShape.of(1, DEFAULT_MICRO_BATCH));
  }

  /// The sizes that were given; what the family has not is refused by it.
  private Map<String, Integer> given() {
    Map<String, Integer> numbers = new LinkedHashMap<>();
    put(numbers, "--layers", layers);
    put(numbers, "--width", width);
    put(numbers, "--context", context);
    put(numbers, "--vocabulary", vocabulary);
    put(numbers, "--heads", heads);
    put(numbers, "--kv-heads", keyValueHeads);
    put(numbers, "--hidden", hidden);
    put(numbers, "--window", window);
    put(numbers, "--experts", experts);
    put(numbers, "--experts-per-token", expertsPerToken);
    return numbers;
  }

  private static int orElse(@Nullable Integer given, int otherwise) {
    return given == null ? otherwise : given;
  }

  private static void put(Map<String, Integer> numbers, String option, @Nullable Integer given) {
    if (given != null) {
      numbers.put(option, given);
    }
  }

  /// Returns where the steps run.
  ///
  /// @param share threads of a rank if the user did not say
  TrainerOptions trainerOptions(int share) {
    return new TrainerOptions(
        device,
        threads == 0 ? share : threads,
        vectorBits,
        transport,
        TrainerOptions.defaults().timeout(),
        Recompute.of(recompute),
        layout(),
        (long) bucketMb << 20);
  }

  private int usualLanes() {
    int stages = layout().size(Layout.PIPELINE, ranks());
    int places = layout().size(Layout.DATA, ranks());
    return stages == 1 ? places : LANES_PER_STAGE * stages * places;
  }

  /// Returns the number of stages.
  int stages() {
    return layout().size(Layout.PIPELINE, ranks());
  }

  /// Returns how ranks are laid out.
  Layout layout() {
    return Layout.of(mesh, zero, PipelineSchedule.of(schedule), chunks, sequenceParallel);
  }
}
