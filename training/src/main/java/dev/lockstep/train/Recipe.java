package dev.lockstep.train;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.data.Batches;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LanguageModel;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.nn.DropoutPlan;
import dev.lockstep.train.nn.Precision;
import dev.lockstep.train.optim.AdamWOptions;
import dev.lockstep.train.optim.LearningRate;
import dev.lockstep.train.options.OptionCheck;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.Consumer;

/// Everything that fixes a run's numbers: two runs of one recipe on the same text end in the same
/// bits, whatever their layouts. Stored in every checkpoint.
///
/// @param model size of the model
/// @param batch how a step's tokens are cut into lanes
/// @param blocks how sums are cut that a layout may split
/// @param optimizer how parameters are updated
/// @param learningRate the schedule
/// @param steps steps of the whole run; the schedule ends there
/// @param seed of the initial weights, the order of the data and the sample
/// @param sameBits whether sums over lanes follow the lane tree; otherwise speed is preferred and
///   the bits depend on the layout
/// @param precision in what floats the model computes
/// @param dropout share of elements that fall out while the model trains: of the embeddings and of
///   each block's branches
/// @param initialWeights SHA-256 of the weights that the run starts from, as
///   [Trainer#weightsSha256] has it; empty for those that the seed makes
public record Recipe(
    ModelShape model,
    BatchShape batch,
    SumBlocks blocks,
    AdamWOptions optimizer,
    LearningRate learningRate,
    int steps,
    long seed,
    boolean sameBits,
    Precision precision,
    float dropout,
    String initialWeights) {
  /// The default peak of the learning rate.
  public static final float DEFAULT_LEARNING_RATE = 3e-3f;

  /// How a step's tokens are cut.
  ///
  /// @param lanes units of data parallelism; the world size is at most this
  /// @param microBatch sequences of a lane
  /// @param validationBatches batches of `microBatch` held-out windows that an evaluation takes
  public record BatchShape(int lanes, int microBatch, int validationBatches) {
    private static final int DEFAULT_VALIDATION_BATCHES = 32;

    /// Checks the numbers.
    ///
    /// @throws ConfigurationException if one does not fit; the sentence names the option
    public BatchShape {
      OptionCheck.atLeast("--lanes", lanes, 1);
      OptionCheck.atLeast("--micro-batch", microBatch, 1);
      OptionCheck.atLeast("validation batches", validationBatches, lanes);
    }

    /// Returns lanes of `microBatch` sequences, evaluated on the usual number of windows.
    public static BatchShape of(int lanes, int microBatch) {
      return new BatchShape(lanes, microBatch, Math.max(lanes, DEFAULT_VALIDATION_BATCHES));
    }

    /// Returns other lanes and micro-batches, evaluated on as many batches as these, and at least
    /// one per lane.
    public BatchShape with(int otherLanes, int otherMicroBatch) {
      return new BatchShape(otherLanes, otherMicroBatch, Math.max(otherLanes, validationBatches));
    }

    /// Returns the sequences of a step.
    public long sequences() {
      return (long) lanes * microBatch;
    }
  }

  /// Into how many blocks sums are cut that a layout may split.
  ///
  /// @param tensor blocks of sums over features or the vocabulary; tensor parallelism divides it
  /// @param tokens blocks of sums over a lane's positions; sequence and context parallelism divide
  ///   it
  public record SumBlocks(int tensor, int tokens) {
    /// Checks the numbers.
    ///
    /// @throws ConfigurationException if one does not fit
    public SumBlocks {
      OptionCheck.atLeast("tensor blocks", tensor, 1);
      OptionCheck.atLeast("token blocks", tokens, 1);
    }

    /// Returns the default: four blocks and one.
    public static SumBlocks defaults() {
      return new SumBlocks(4, 1);
    }
  }

  /// Checks the numbers.
  ///
  /// @throws ConfigurationException if one does not fit; the sentence names the option
  public Recipe {
    OptionCheck.atLeast("--steps", steps, 1);
    OptionCheck.within("--dropout", dropout, 0, Math.nextDown(1f));
  }

  /// Returns the default: a byte-level GPT of 0.8 million parameters, sized for two cores.
  public static Recipe defaults() {
    int steps = 2_000;
    return new Recipe(
        GptShape.defaults(),
        BatchShape.of(4, 3),
        SumBlocks.defaults(),
        AdamWOptions.defaults(),
        LearningRate.of(DEFAULT_LEARNING_RATE, steps),
        steps,
        1,
        true,
        Precision.F32,
        0,
        "");
  }

  /// Returns this recipe with another model.
  public Recipe withModel(ModelShape other) {
    return changed(parts -> parts.model = other);
  }

  /// Returns this recipe with other lanes.
  public Recipe withBatch(BatchShape other) {
    return changed(parts -> parts.batch = other);
  }

  /// Returns this recipe with other blocks of sums.
  public Recipe withBlocks(SumBlocks other) {
    return changed(parts -> parts.blocks = other);
  }

  /// Returns this recipe with other numbers of the optimizer.
  public Recipe withOptimizer(AdamWOptions other) {
    return changed(parts -> parts.optimizer = other);
  }

  /// Returns this recipe with another number of steps. The usual schedule becomes the usual one of
  /// so many steps; another stays as it is.
  public Recipe withSteps(int other) {
    return changed(
        parts -> {
          if (hasUsualSchedule()) {
            parts.learningRate = LearningRate.of(learningRate.peak(), other);
          }
          parts.steps = other;
        });
  }

  /// Returns this recipe with another schedule.
  public Recipe withLearningRate(LearningRate other) {
    return changed(parts -> parts.learningRate = other);
  }

  /// Returns this recipe with another peak of its schedule. The usual schedule stays the usual one;
  /// another keeps its form, as [LearningRate#withPeak] says.
  public Recipe withPeakLearningRate(float other) {
    return withLearningRate(
        hasUsualSchedule() ? LearningRate.of(other, steps) : learningRate.withPeak(other));
  }

  private boolean hasUsualSchedule() {
    return learningRate.equals(LearningRate.of(learningRate.peak(), steps));
  }

  /// Returns this recipe with another seed.
  public Recipe withSeed(long other) {
    return changed(parts -> parts.seed = other);
  }

  /// Returns this recipe in same-bits or in relaxed mode.
  public Recipe withSameBits(boolean other) {
    return changed(parts -> parts.sameBits = other);
  }

  /// Returns this recipe in another precision.
  public Recipe withPrecision(Precision other) {
    return changed(parts -> parts.precision = other);
  }

  /// Returns this recipe with another share of elements that fall out.
  public Recipe withDropout(float other) {
    return changed(parts -> parts.dropout = other);
  }

  /// Returns this recipe with other weights to start from.
  ///
  /// @param other their SHA-256; empty for those that the seed makes
  public Recipe withInitialWeights(String other) {
    return changed(parts -> parts.initialWeights = other);
  }

  private Recipe changed(Consumer<Parts> change) {
    Parts parts = new Parts(this);
    change.accept(parts);
    return parts.together();
  }

  /// Returns the batches of each step.
  ///
  /// @throws ConfigurationException if the text does not fit
  Batches batches(Corpus corpus) {
    int context = model.context();
    if (model.vocabulary() < Corpus.VOCABULARY) {
      throw new ConfigurationException(
          "vocabulary",
          String.valueOf(model.vocabulary()),
          "the model knows fewer tokens than there are bytes: vocabulary=%d, bytes=%d (take a model with a larger vocabulary)"
              .formatted(model.vocabulary(), Corpus.VOCABULARY));
    }
    if (corpus.trainTokens() <= context) {
      throw new ConfigurationException(
          "--context",
          String.valueOf(context),
          "the training text is shorter than one window: --context %d, training bytes %d (give more text with --data)"
              .formatted(context, corpus.trainTokens()));
    }
    return new Batches(corpus, seed, batch.lanes(), batch.microBatch(), context);
  }

  /// Checks that the warm-up ends before the run does, as that of every run must that starts. One
  /// that was saved goes on as it began.
  ///
  /// @throws ConfigurationException if the learning rate would never come down
  public void requireWarmUpWithinSteps() {
    int warmUp = learningRate.warmupSteps();
    if (warmUp > 0 && warmUp >= steps) {
      throw new ConfigurationException(
          "--steps",
          String.valueOf(steps),
          "the run ends before its learning rate comes down: learningRate.warmupSteps %d, --steps %d (give more steps, or the recipe a shorter warm-up)"
              .formatted(warmUp, steps));
    }
  }

  /// Checks that the held-out text has a window to evaluate.
  ///
  /// @throws ConfigurationException if it is shorter
  void requireHeldOutWindow(Corpus corpus) {
    int context = model.context();
    if (corpus.validationTokens() <= context) {
      throw new ConfigurationException(
          "--context",
          String.valueOf(context),
          "the held-out text is shorter than one window: --context %d, held-out bytes %d (give more text with --data)"
              .formatted(context, corpus.validationTokens()));
    }
  }

  /// Returns the programs of this recipe's model.
  ///
  /// @param laid the model, laid out
  ModelPrograms programs(LanguageModel laid, Recompute recompute) {
    DropoutPlan drops = new DropoutPlan(dropout, seed);
    return new ModelPrograms(laid, blocks.tokens(), recompute, precision, drops);
  }

  /// Returns the tokens of a step.
  public long tokensPerStep() {
    return batch.sequences() * model.context();
  }

  /// Writes the recipe to a file, as JSON for people to read and change.
  ///
  /// @throws IOException if the file cannot be written
  public void write(Path file) throws IOException {
    Files.writeString(file, RecipeJson.tree(this).toPrettyString() + "\n");
  }

  /// Reads a recipe from a file: what [#write] wrote, or any part of it. What the file leaves out
  /// is the default of its model's family; without a learning rate the usual schedule of its steps.
  ///
  /// @throws ConfigurationException if the file cannot be read, or a key is unknown or its value
  ///   wrong; the sentence names it
  public static Recipe read(Path file) {
    return RecipeJson.read(file);
  }

  /// Returns the recipe as a JSON object.
  public String toJson() {
    return RecipeJson.tree(this).toString();
  }

  /// Returns the recipe that [#toJson] wrote; what versions before this one left out has the value
  /// that it had then.
  ///
  /// @throws IllegalArgumentException if a field is missing, unknown or not a number
  /// @throws ConfigurationException if a number does not fit
  public static Recipe fromJson(String json) {
    return RecipeJson.parse(json);
  }

  /// A recipe taken apart, to change some of it.
  private static final class Parts {
    private ModelShape model;
    private BatchShape batch;
    private SumBlocks blocks;
    private AdamWOptions optimizer;
    private LearningRate learningRate;
    private int steps;
    private long seed;
    private boolean sameBits;
    private Precision precision;
    private float dropout;
    private String initialWeights;

    Parts(Recipe recipe) {
      this.model = recipe.model;
      this.batch = recipe.batch;
      this.blocks = recipe.blocks;
      this.optimizer = recipe.optimizer;
      this.learningRate = recipe.learningRate;
      this.steps = recipe.steps;
      this.seed = recipe.seed;
      this.sameBits = recipe.sameBits;
      this.precision = recipe.precision;
      this.dropout = recipe.dropout;
      this.initialWeights = recipe.initialWeights;
    }

    Recipe together() {
      return new Recipe(
          model,
          batch,
          blocks,
          optimizer,
          learningRate,
          steps,
          seed,
          sameBits,
          precision,
          dropout,
          initialWeights);
    }
  }
}
