package dev.lockstep.train;

import dev.lockstep.device.Program;
import dev.lockstep.failure.CheckpointException;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Scope;
import dev.lockstep.train.checkpoint.CheckpointFolder;
import dev.lockstep.train.checkpoint.HuggingFaceFolder;
import dev.lockstep.train.checkpoint.Sha256;
import dev.lockstep.train.data.Batches;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.DataOptions;
import dev.lockstep.train.model.LanguageModel;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.options.OptionCheck;
import dev.lockstep.train.pipeline.PipelinePlan;
import dev.lockstep.transport.TransportCounters;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Trains a language model by a [Recipe] with the ranks of a [Job]. The recipe and the text fix
/// every bit of the result; world size, threads, transport and restarts do not.
///
/// ```java
/// Job.run(job -> {
///   try (var text = Corpus.open(DataOptions.of(source, cache), CorpusListener.SILENT);
///       var trainer = Trainer.start(job, Recipe.defaults(), text, TrainerOptions.defaults())) {
///     trainer.train(TrainingRun.savingTo(Path.of("checkpoint")));
///     System.out.println(trainer.weightsSha256());
///   }
/// });
/// ```
///
/// Confined to the thread that made it; every rank calls [#train], [#step], [#evaluate] and [#save]
/// in the same order. Owns its device; close it before the corpus and the job.
public final class Trainer implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Trainer.class);

  private final Scope scope = new Scope();

  private final Job job;
  private final Recipe recipe;
  private final Corpus corpus;
  private final JobExchange exchange;
  private final RankCompute compute;
  private final LanguageModel model;
  private final ModelPrograms programs;
  private final ModelState parameters;
  private final ModelState moments;
  private final Steps steps;
  private final CheckpointWriter checkpoints;
  private final @Nullable Stages stages;
  private @Nullable Evaluator evaluator;
  private long step;
  private boolean stopped;
  private boolean stepped;
  private boolean diverged;
  private long unfinished; // number of the step that began and did not end; 0 for none
  private boolean closed;

  /// What a run begins with.
  ///
  /// @param from what it begins with beside them, as words that all ranks must have alike
  /// @param check whether it fits; asked when all are known to have the same, so that none refuses
  ///   alone what the others wait with
  private record Beginning(Recipe recipe, Corpus corpus, String from, Runnable check) {}

  private Trainer(
      Job job, Beginning beginning, TrainerOptions options, CheckpointWriter.Output output) {
    this.job = job;
    recipe = beginning.recipe;
    corpus = beginning.corpus;
    Optional<String> said = agree(beginning.from, options);
    beginning.check.run();
    options.layout().check(recipe, job.worldSize());
    Batches batches = recipe.batches(corpus);
    model = recipe.model().model(recipe.blocks().tensor());
    programs = recipe.programs(model, options.recompute());
    try {
      exchange = JobExchange.open(scope, job, recipe, options);
      said.ifPresent(key -> job.store().withdraw(key)); // all have come here, and so have read it
      compute = RankCompute.open(scope, options, job, exchange.place());
      DeviceAgreement.check(compute, recipe.sameBits());
      stages =
          compute.grid().isStaged()
              ? Stages.of(
                  compute.grid(), options.layout().chunks(), programs, recipe.batch().microBatch())
              : null;
      var held = stages == null ? List.of(HeldParameters.all(model.parameters())) : stages.held();
      parameters = ModelState.parameters(compute, held);
      moments = ModelState.moments(compute, held);
      TrainedState state = new TrainedState(parameters, moments);
      checkpoints =
          scope.own(
              new CheckpointWriter(job, compute, state, model.parameters(), output),
              CheckpointWriter::close);
      steps = steps(options, state, batches);
    } catch (RuntimeException | Error e) {
      Scope.afterFailure(e, scope::close);
      throw e;
    }
  }

  /// Returns when all ranks have said that they were given the same, with what this one has said:
  /// which communicators they make follows from it, and what they refuse.
  private Optional<String> agree(String from, TrainerOptions options) {
    return job.worldSize() == 1
        ? Optional.empty()
        : Optional.of(
            RankAgreement.requireAlikeAtStart(
                job, options.timeout(), "recipe, text or layout", given(from, options)));
  }

  private String given(String from, TrainerOptions options) {
    Layout layout = options.layout();
    return "recipe=%s, data=%s, --mesh %s, --sequence-parallel %s, --zero %s, --schedule %s, --chunks %s, recompute=%s, bucketBytes=%s, %s"
        .formatted(
            Sha256.of(recipe.toJson()),
            corpus.sha256(),
            layout.words(),
            layout.sequenceParallel(),
            layout.zero(),
            layout.schedule().label(),
            layout.chunks(),
            options.recompute(),
            options.bucketBytes(),
            from);
  }

  private Steps steps(TrainerOptions options, TrainedState state, Batches batches) {
    if (stages != null) {
      PipelinePlan plan = stages.plan(options.layout().schedule(), recipe.batch().lanes());
      return compute.grid().isSharded()
          ? new ShardedSteps(compute, recipe, plan, stages, state, batches)
          : new StagedSteps(compute, recipe, plan, stages, state, batches);
    }
    return compute.grid().isSharded()
        ? new ShardedSteps(compute, recipe, programs, state, batches)
        : new StepPrograms(
            compute,
            recipe,
            GradientReduction.plan(compute, recipe, programs, options.bucketBytes()),
            state,
            batches);
  }

  /// Starts a run from the recipe's initial weights; the caller closes the trainer. Blocks until
  /// all ranks have met.
  ///
  /// @throws ConfigurationException on every rank, before they join, if ranks were not given the
  ///   same, or the recipe, the text and the job do not fit each other
  /// @throws dev.lockstep.failure.DeviceException if the device cannot be opened so, for example
  ///   with wider vectors than this processor has
  /// @throws dev.lockstep.failure.CollectiveTimeoutException if ranks are missing after
  ///   [TrainerOptions#timeout]; it names them
  public static Trainer start(Job job, Recipe recipe, Corpus corpus, TrainerOptions options) {
    return start(job, recipe, corpus, options, CheckpointWriter.Output.standard());
  }

  /// Starts a run whose checkpoints go elsewhere than to the disk.
  static Trainer start(
      Job job,
      Recipe recipe,
      Corpus corpus,
      TrainerOptions options,
      CheckpointWriter.Output output) {
    Runnable check =
        () -> {
          requireNoWeights(recipe);
          recipe.requireWarmUpWithinSteps();
        };
    Beginning anew = new Beginning(recipe, corpus, "starts anew", check);
    Trainer trainer = new Trainer(job, anew, options, output);
    trainer.fill(() -> trainer.parameters.initialize(recipe.seed()));
    return trainer;
  }

  private static void requireNoWeights(Recipe recipe) {
    if (!recipe.initialWeights().isEmpty()) {
      throw new ConfigurationException(
          "--weights",
          "",
          "the recipe starts from weights that were not given: sha256 %s (give their folder with --weights)"
              .formatted(recipe.initialWeights()));
    }
  }

  /// Gives a new trainer its state, or closes it.
  private void fill(Runnable state) {
    try {
      state.run();
    } catch (RuntimeException | Error e) {
      Scope.afterFailure(e, this::close);
      throw e;
    }
  }

  /// Starts a run from the weights of a folder of Hugging Face, or of a checkpoint; the caller
  /// closes the trainer. Every rank reads the folder. The run's recipe says what the weights were
  /// ([Recipe#initialWeights()]). The corpus feeds bytes: where the folder's own tokens are others,
  /// as those of a vocabulary of more than 256 are, each byte starts from the embedding of another
  /// token, and a warning says so.
  ///
  /// @param weights a model of the recipe's shape
  /// @throws ConfigurationException on every rank, if ranks were not given the same, or the recipe
  ///   has a model of another shape, starts from other weights, or does not fit the text and the
  ///   job
  /// @throws CheckpointException if the weights cannot be read
  public static Trainer start(
      Job job, Recipe recipe, HuggingFaceFolder weights, Corpus corpus, TrainerOptions options) {
    String sha256 = weights.sha256();
    Runnable check =
        () -> {
          InitialWeights.check(recipe, weights, sha256);
          if (job.rank() == 0) {
            InitialWeights.otherTokens(weights).ifPresent(LOG::warn);
          }
          recipe.requireWarmUpWithinSteps();
        };
    // Where the recipe names weights, these may be others.
    String from =
        "starts from weights of %s where the recipe names [%s]"
            .formatted(weights.shape(), recipe.initialWeights());
    Beginning given = new Beginning(recipe.withInitialWeights(sha256), corpus, from, check);
    Trainer trainer = new Trainer(job, given, options, CheckpointWriter.Output.standard());
    trainer.fill(() -> trainer.parameters.load(weights));
    return trainer;
  }

  /// Continues a run bit for bit; the caller closes the trainer. Every rank reads the checkpoint.
  ///
  /// @throws ConfigurationException on every rank, if ranks were not given the same, or the text is
  ///   not the one that the run was trained on
  /// @throws CheckpointException if the weights do not fit the recipe; on every rank, if the
  ///   checkpoint was replaced since it was opened
  public static Trainer resume(Job job, SavedRun saved, Corpus corpus, TrainerOptions options) {
    String from = "goes on with a run of data=" + saved.dataSha256();
    Runnable check = () -> requireText(saved, corpus);
    Beginning resumed = new Beginning(saved.recipe(), corpus, from, check);
    Trainer trainer = new Trainer(job, resumed, options, CheckpointWriter.Output.standard());
    trainer.fill(() -> trainer.load(saved));
    return trainer;
  }

  private static void requireText(SavedRun saved, Corpus corpus) {
    if (!saved.dataSha256().equals(corpus.sha256())) {
      throw new ConfigurationException(
          "--data",
          corpus.sha256(),
          "the text is not the one that the resumed run was trained on: --data has sha256 %s, --resume has sha256 %s (give the --data that the run was started with, unchanged)"
              .formatted(corpus.sha256(), saved.dataSha256()));
    }
  }

  private void load(SavedRun saved) {
    String mine = "step=%s, sha256=%s".formatted(saved.step(), saved.sha256());
    RankAgreement.requireAlike(exchange, "checkpoint", mine);
    parameters.load(saved.folder(), SavedRun.WEIGHTS);
    moments.load(saved.folder(), SavedRun.OPTIMIZER);
    step = saved.step();
    saved.requireNoDoubt(RankAgreement.refusal(exchange, saved.doubt()));
  }

  /// Takes the steps that are left, saving and evaluating as the run says, and saves at the end;
  /// also where no step was left.
  ///
  /// @return whether the recipe's last step is done; false if a rank asked to stop
  /// @throws ConfigurationException on every rank, before the first step, if ranks were not given
  ///   the same intervals, or not all of them a checkpoint, or if something else than a checkpoint
  ///   stands where rank 0 is to write one, or that is a place in its own text, or if it evaluates
  ///   and the held-out text is shorter than a window
  /// @throws DivergedException as [#step]; the last checkpoint stands
  public boolean train(TrainingRun run) {
    TrainingLoop loop = new TrainingLoop(this, checkpoints, exchange, job, run);
    loop.check();
    if (run.evaluateEvery() > 0) {
      requireHeldOutWindow();
    }
    stopped = false; // a stop ends the run that was asked to, not those after it
    try {
      loop.stepUpTo(recipe.steps());
    } catch (CheckpointException known) {
      throw known; // no rank waits in a collective for it: the run can go on
    } catch (RuntimeException | Error failure) {
      exchange.abandon(failure);
      throw failure;
    }
    return step == recipe.steps();
  }

  /// Returns the text that the run is of.
  Optional<DataOptions> text() {
    return corpus.options();
  }

  private CheckpointWriter.Target target(Path checkpoint, int keepOld) {
    if (diverged) {
      throw DivergedException.unsaved(checkpoint, step);
    }
    if (unfinished > 0) {
      throw new CheckpointException(
          checkpoint.toString(),
          "a run whose step failed is not saved: checkpoint=%s, step=%d (the last checkpoint stands; resume from it)"
              .formatted(checkpoint, unfinished),
          null);
    }
    Map<String, String> texts = SavedRun.texts(recipe, step, corpus.sha256());
    return new CheckpointWriter.Target(checkpoint, texts, keepOld, step);
  }

  /// Takes one step. Allocates nothing after the first few.
  ///
  /// @param wantsStop whether this rank asks all to stop after it
  /// @throws IllegalStateException if the recipe's last step is done, or a step failed or diverged:
  ///   the weights may be those before it, after it or both, so close this and resume from the last
  ///   checkpoint
  /// @throws DivergedException on every rank, if loss or gradient is no finite number
  public void step(boolean wantsStop) {
    if (unfinished > 0) {
      throw new IllegalStateException(
          "a run whose step failed takes no more: step=%d (the last checkpoint stands; resume from it)"
              .formatted(unfinished));
    }
    if (step == recipe.steps()) {
      throw new IllegalStateException("the recipe's last step is done: steps=" + step);
    }
    job.activity("training step");
    unfinished = step + 1;
    try {
      steps.run(step, recipe.learningRate().at(step + 1, recipe.steps()), wantsStop);
      stepped = true;
      step++; // what fails from here on is of the next step
      if (step < recipe.steps() && !wantsStop) {
        steps.ahead(step);
      }
      stopped = steps.scalars().stopped();
      DivergedException.check(step, steps.scalars().loss(), steps.scalars().gradientNorm());
      unfinished = 0;
    } catch (RuntimeException | Error failure) {
      if (failure instanceof DivergedException) {
        diverged = true;
        exchange.letOthersSee("diverged/" + step);
      }
      exchange.abandon(failure);
      throw failure;
    }
  }

  /// Checks that there is something to [#evaluate], as [#train] does that evaluates.
  ///
  /// @throws ConfigurationException if the held-out text is shorter than a window
  public void requireHeldOutWindow() {
    recipe.requireHeldOutWindow(corpus);
  }

  /// Returns the mean loss of the recipe's held-out windows, in nats per token.
  ///
  /// @throws ConfigurationException if the held-out text is shorter than a window
  public float evaluate() {
    job.activity("evaluation");
    if (evaluator == null) {
      evaluator = new Evaluator(compute, recipe, programs, stages, parameters, corpus);
    }
    return evaluator.evaluate();
  }

  /// Returns whether ranks hold parts of the model or of its optimizer's state. Every rank then
  /// calls [#weightsSha256], [#optimizerSha256] and [#sample(SamplingOptions, BooleanSupplier)], in
  /// the same order; otherwise one rank is enough.
  public boolean isSplit() {
    return compute.grid().holdsParts();
  }

  /// Returns text that the model writes; where ranks hold parts, on rank 0 alone, and no text on
  /// the others.
  ///
  /// @param stop ends the text early
  public String sample(SamplingOptions options, BooleanSupplier stop) {
    job.activity("sampling");
    try (Scope sampling = new Scope();
        StateGather weights = parameters.gather()) {
      RankCompute own = compute.in(sampling);
      if (!isSplit()) {
        return new Sampler(own, recipe.model(), programs, parameters).sample(options, stop);
      }
      if (job.rank() != 0) {
        weights.drain();
        return "";
      }
      ModelState whole = wholeParameters(own, weights);
      whole.receive(weights);
      weights.drain();
      return new Sampler(own, recipe.model(), programs, whole).sample(options, stop);
    }
  }

  /// Allocates the whole model; where that cannot be, the other ranks still give what they hold and
  /// go on.
  private ModelState wholeParameters(RankCompute own, StateGather weights) {
    try {
      return ModelState.wholeParameters(own, model.parameters());
    } catch (MemoryBudgetException refused) {
      Scope.afterFailure(refused, weights::drain);
      throw refused;
    }
  }

  /// Returns text that the model of a checkpoint writes; needs no other rank.
  ///
  /// @param saved a checkpoint of this trainer's model and precision
  /// @throws ConfigurationException if it is of others
  public String sample(SavedRun saved, SamplingOptions options, BooleanSupplier stop) {
    requireOwnModel(saved);
    job.activity("sampling from the checkpoint");
    try (Scope sampling = new Scope()) {
      RankCompute own = compute.in(sampling);
      ModelState loaded = ModelState.wholeParameters(own, model.parameters());
      loaded.load(saved.folder(), SavedRun.WEIGHTS);
      saved.requireUnchanged();
      return new Sampler(own, recipe.model(), programs, loaded).sample(options, stop);
    }
  }

  private void requireOwnModel(SavedRun saved) {
    Recipe other = saved.recipe();
    if (!other.model().equals(recipe.model()) || other.precision() != recipe.precision()) {
      throw new ConfigurationException(
          "checkpoint",
          saved.folder().toString(),
          "the checkpoint is of another model: checkpoint=%s has %s in %s, the trainer has %s in %s (open it with Inference, or with a trainer of its own)"
              .formatted(
                  saved.folder(),
                  other.model(),
                  other.precision().label(),
                  recipe.model(),
                  recipe.precision().label()));
    }
  }

  /// Writes a checkpoint in place of the one that is there, as one, and waits for it. It holds
  /// whole tensors, and any layout goes on from it. Every rank calls this, and who writes is who
  /// does in [#saveInBackground]; the others wait until it is written, for up to an hour, however
  /// short [TrainerOptions#timeout] is. Rank 0's folder counts. Old checkpoints that were kept
  /// stay. Interrupting does not end it; the thread is then still interrupted afterwards.
  ///
  /// @throws CheckpointException on every rank, if it or the one before cannot be written, or if
  ///   something else stands there; what was there still is then, and the run can go on. Also if
  ///   the last step diverged or failed: its weights may be those before it, after it or both
  /// @throws MemoryBudgetException on a rank that has no room for a copy of what it writes, where
  ///   one is needed; the others hear of it by a [CheckpointException]
  public void save(Path checkpoint) {
    job.activity("saving a checkpoint");
    CheckpointWriter.Target target = target(checkpoint, CheckpointFolder.AS_BEFORE);
    var _ = awaitSaved();
    checkpoints.writeTogether(target, exchange);
  }

  /// Starts to write a checkpoint in place of the one that is there, once what was saved before is
  /// on disk. When this returns steps may be taken: a copy is written, by all ranks side by side
  /// where they hold parts, else by those on rank 0's host. Every rank calls this, and
  /// [#awaitSaved] before it closes the trainer: only that tells all ranks how the last one went.
  ///
  /// @param keepOld how many old checkpoints stay beside the newest, as `NAME.step-N`, or
  ///   [CheckpointFolder#AS_BEFORE]
  /// @throws CheckpointException on every rank, if the one before could not be written
  /// @throws MemoryBudgetException on a rank that has no room for its copy; the others hear of it
  ///   in [#awaitSaved]
  public void saveInBackground(Path checkpoint, int keepOld) {
    OptionCheck.atLeast("--keep-old", keepOld, CheckpointFolder.AS_BEFORE);
    job.activity("saving a checkpoint");
    CheckpointWriter.Target target = target(checkpoint, keepOld);
    var _ = awaitSaved();
    checkpoints.beginTogether(target);
  }

  /// Waits until the checkpoint is on disk that is being written; every rank calls this.
  ///
  /// @return its folder, on the ranks that wrote; empty if none was written
  /// @throws CheckpointException on every rank, if it could not be written; the old one is still
  ///   there then
  public Optional<Path> awaitSaved() {
    return checkpoints.awaitTogether(exchange);
  }

  /// Returns the SHA-256 of the parameters as 64 hexadecimal digits.
  public String weightsSha256() {
    return parameters.sha256();
  }

  /// Returns the SHA-256 of the optimizer's moments as 64 hexadecimal digits.
  public String optimizerSha256() {
    return moments.sha256();
  }

  /// Returns the recipe.
  public Recipe recipe() {
    return recipe;
  }

  /// Returns the number of steps done.
  public long stepsDone() {
    return step;
  }

  /// Returns whether a rank asked to stop after the last step.
  public boolean isStopped() {
    return stopped;
  }

  /// Returns the mean loss of the last step, in nats per token; NaN before this trainer has taken
  /// one, also where it goes on with a run that had.
  public float loss() {
    return stepped ? steps.scalars().loss() : Float.NaN;
  }

  /// Returns the global norm of the last step's mean gradient, before it was clipped; NaN before
  /// this trainer has taken one.
  public float gradientNorm() {
    return stepped ? steps.scalars().gradientNorm() : Float.NaN;
  }

  /// Returns the learning rate of the last step.
  public float learningRate() {
    return recipe.learningRate().at(step, recipe.steps());
  }

  /// Returns the programs of a step on this rank: `lanes` (forward and backward pass of a lane),
  /// `joins` (of lanes' sums) and `update` (norm, clipping and optimizer). Owned by the trainer;
  /// for reading plans and times between steps.
  public Map<String, List<Program>> programs() {
    return steps.programs();
  }

  /// Returns what computes, as one line for people.
  public String device() {
    return compute.device().info().description();
  }

  /// Returns the name of the transport; empty with one rank.
  public String transport() {
    return exchange.transport();
  }

  /// Returns what went over the transport; zeros with one rank.
  public TransportCounters transportCounters() {
    return exchange.counters();
  }

  /// Waits for the device and for a checkpoint that this rank is writing, however long its disk
  /// takes, and frees memory and device; idempotent.
  ///
  /// @throws CheckpointException on the ranks that wrote it, if a checkpoint could not be written
  ///   that nobody asked for with [#awaitSaved]; the others hear nothing of it here. All is freed
  ///   by then
  @Override
  public void close() {
    if (!closed) {
      closed = true;
      compute.settle();
      scope.close();
    }
  }
}
