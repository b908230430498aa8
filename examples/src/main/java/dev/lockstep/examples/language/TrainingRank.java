package dev.lockstep.examples.language;

import dev.lockstep.failure.CheckpointException;
import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.failure.Printable;
import dev.lockstep.job.Job;
import dev.lockstep.launcher.RankContext;
import dev.lockstep.memory.Scope;
import dev.lockstep.train.ProgressListener;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.SamplingOptions;
import dev.lockstep.train.SavedRun;
import dev.lockstep.train.Trainer;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.checkpoint.HuggingFaceFolder;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusListener;
import dev.lockstep.train.metrics.MetricsLog;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.function.BooleanSupplier;

/// One rank of a job that trains, from its options to the hashes it prints. Rank 0 prints and
/// writes; the others only compute.
final class TrainingRank {
  private static final double TEMPERATURE = 0.7;
  private static final String PROMPT = "    /**\n     * Returns the ";

  private final RankContext context;
  private final Job job;
  private final TrainingOptions options;
  private final BooleanSupplier stop;

  TrainingRank(RankContext context, TrainingOptions options) {
    this.context = context;
    this.job = context.job();
    this.options = options;
    this.stop = context::stopRequested;
  }

  /// Trains, shows and saves.
  ///
  /// @throws ConfigurationException if an option does not fit; nothing is written then
  void run() {
    TrainingPlan plan = TrainingPlan.of(options);
    Console console =
        new Console(context.out(), context.terminalColumns(), plan.recipe().tokensPerStep());
    TrainerOptions trainerOptions = options.trainerOptions(context.threads());
    // What holds the folder is closed after the trainer, which may still be writing to it.
    try (Corpus corpus = openText(plan, console);
        Scope held = new Scope();
        Trainer trainer =
            plan.saved().isPresent()
                ? Trainer.resume(job, plan.saved().get(), corpus, trainerOptions)
                : start(plan.recipe(), corpus, trainerOptions)) {
      trainer.requireHeldOutWindow();
      if (job.rank() == 0) {
        RunFolder folder = plan.folder().prepare(plan.resumed());
        var _ = held.own(RunLock.take(folder.path(), holder(), console::line), RunLock::close);
        folder.check(plan.resumed()); // another run may have come and gone since
        folder.writeRecipe(trainer.recipe());
        lead(trainer, corpus, plan.resumed(), folder, console);
      } else {
        follow(trainer, plan);
      }
    } catch (CollectiveTimeoutException late) {
      Duration waited = Duration.ofNanos(late.elapsedNanos());
      // Other deadlines, of the store for one, are none of --timeout.
      if (waited.compareTo(trainerOptions.timeout()) >= 0) {
        console.line(
            "rank %d has waited for %d s; if ranks only need longer, give them more with --timeout SECONDS"
                .formatted(job.rank(), waited.toSeconds()));
      }
      throw late;
    }
  }

  private String holder() {
    return "host=%s, pid=%d".formatted(job.host(), ProcessHandle.current().pid());
  }

  private Trainer start(Recipe recipe, Corpus corpus, TrainerOptions trainerOptions) {
    if (options.weights == null) {
      return Trainer.start(job, recipe, corpus, trainerOptions);
    }
    try (HuggingFaceFolder weights = HuggingFaceFolder.open(options.weights)) {
      return Trainer.start(job, recipe, weights, corpus, trainerOptions);
    }
  }

  /// What the other ranks do beside rank 0: the same calls in the same order, where they hold parts
  /// of the model.
  private void follow(Trainer trainer, TrainingPlan plan) {
    boolean isDone =
        trainer.train(options.trainingRun(plan.folder().checkpoint()).stoppingWhen(stop));
    if (trainer.isSplit()) {
      var _ = trainer.optimizerSha256();
      var _ = trainer.weightsSha256();
      if (isDone && options.sample > 0) {
        var _ = trainer.sample(sampling(trainer), stop);
      }
    }
  }

  private SamplingOptions sampling(Trainer trainer) {
    return new SamplingOptions(PROMPT, options.sample, trainer.recipe().seed(), TEMPERATURE);
  }

  private Corpus openText(TrainingPlan plan, Console console) {
    if (job.localRank() != 0) {
      return plan.openText(options, CorpusListener.SILENT);
    }
    TextReport report = new TextReport(console);
    Corpus corpus = plan.openText(options, report);
    report.summarize();
    return corpus;
  }

  private void lead(
      Trainer trainer,
      Corpus corpus,
      Optional<RunFolder> resumed,
      RunFolder folder,
      Console console) {
    introduce(trainer, corpus, folder, console);
    String optimizerSha256;
    String weightsSha256;
    boolean isDone;
    try (MetricsLog metrics = folder.openMetrics(resumed, trainer.stepsDone())) {
      DispensableFiles files = new DispensableFiles(console::line);
      Recorder recorder = new Recorder(console, metrics, folder, files);
      isDone =
          trainer.train(options.trainingRun(folder.checkpoint()).with(recorder).stoppingWhen(stop));
      console.endBar();
      // Before this rank writes text alone, which the others do not wait for.
      optimizerSha256 = trainer.optimizerSha256();
      weightsSha256 = trainer.weightsSha256();
      if (isDone) {
        recorder.summarize();
      } else {
        console.line(
            "stopped after step %d; go on with --resume %s%s"
                .formatted(
                    trainer.stepsDone(),
                    folder.path(),
                    options.data == null ? "" : " --data " + options.data));
      }
      files.write(folder.metrics(), metrics::close);
    }
    try {
      if (isDone && options.sample > 0) {
        conclude(trainer, folder, console);
      }
    } catch (MemoryBudgetException refused) {
      console.line(
          "no sample: %s (the run is done and saved; --sample 0 asks for none)"
              .formatted(refused.getMessage()));
    } finally { // whatever comes of the sample, the run is done and this is its result
      console.line("output folder     " + folder.path());
      console.line("data sha256       " + corpus.sha256());
      console.line("optimizer sha256  " + optimizerSha256);
      console.line("weights sha256    " + weightsSha256);
    }
  }

  private void introduce(Trainer trainer, Corpus corpus, RunFolder folder, Console console) {
    Recipe recipe = trainer.recipe();
    console.line(
        "%s with %,d parameters, %s mode; text of %,d + %,d held-out bytes"
            .formatted(
                recipe.model().title(),
                recipe.model().parameters(),
                recipe.sameBits() ? "same-bits" : "relaxed",
                corpus.trainTokens(),
                corpus.validationTokens()));
    console.line(
        "%d ranks%s, %d lanes of %d windows of %d bytes; %s"
            .formatted(
                job.worldSize(),
                trainer.transport().isEmpty() ? "" : " over " + trainer.transport(),
                recipe.batch().lanes(),
                recipe.batch().microBatch(),
                recipe.model().context(),
                trainer.device()));
    if (trainer.stepsDone() > 0) {
      console.line("resumed after step %d".formatted(trainer.stepsDone()));
    }
    console.line("writing to " + folder.path());
    console.start();
  }

  private void conclude(Trainer trainer, RunFolder folder, Console console) {
    SamplingOptions sampling = sampling(trainer);
    String sample = trainer.sample(sampling, stop);
    console.line("");
    console.line(Printable.lines(sample));
    console.line("");
    String again;
    try {
      again = trainer.sample(SavedRun.open(folder.checkpoint()), sampling, stop);
    } catch (MemoryBudgetException refused) { // the saved model lies beside the trained one
      console.line(
          "the sample is not compared with the reloaded checkpoint's: " + refused.getMessage());
      return;
    }
    if (stop.getAsBoolean()) {
      return;
    }
    if (!again.equals(sample)) {
      throw new CheckpointException(
          folder.checkpoint().toString(),
          "the reloaded checkpoint writes another sample: path=%s, sample=%s"
              .formatted(folder.checkpoint(), again),
          null);
    }
    console.line("the reloaded checkpoint writes the same " + options.sample + " bytes");
  }

  /// Writes measurements and shows progress.
  private static final class Recorder implements ProgressListener {
    private final Console console;
    private final MetricsLog metrics;
    private final RunFolder folder;
    private final DispensableFiles files;
    private long stepEnded = System.nanoTime();
    private float validationLoss = Float.NaN;

    Recorder(Console console, MetricsLog metrics, RunFolder folder, DispensableFiles files) {
      this.console = console;
      this.metrics = metrics;
      this.folder = folder;
      this.files = files;
    }

    @Override
    public void stepDone(Trainer trainer) {
      console.step(trainer);
      files.write(
          folder.metrics(),
          () ->
              metrics.step(
                  trainer.stepsDone(),
                  trainer.loss(),
                  trainer.gradientNorm(),
                  trainer.learningRate(),
                  console.stepNanos(),
                  console.tokensPerSecond()));
      stepEnded = System.nanoTime();
    }

    @Override
    public void evaluated(Trainer trainer, float loss) {
      validationLoss = loss;
      files.write(folder.metrics(), () -> metrics.validation(trainer.stepsDone(), loss));
      console.line(
          "step %,d  validation loss %.4f nats per byte".formatted(trainer.stepsDone(), loss));
      leaveOut();
    }

    @Override
    public void saved(Trainer trainer, Path checkpoint) {
      files.write(folder.picture(), () -> folder.draw(metrics.curve()));
      leaveOut();
    }

    /// Prints the last validation loss; a resumed run that had no step left has none.
    void summarize() {
      if (!Float.isNaN(validationLoss)) {
        console.line("validation loss   %.4f nats per byte".formatted(validationLoss));
      }
    }

    private void leaveOut() {
      long now = System.nanoTime();
      console.pause(now - stepEnded);
      stepEnded = now;
    }
  }
}
