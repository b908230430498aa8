package dev.lockstep.examples.language;

import dev.lockstep.failure.CheckpointException;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.SavedRun;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusListener;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/// What the options come down to, found without changing anything.
///
/// @param saved the checkpoint that is resumed
/// @param recipe the recipe
/// @param resumed the output folder of the run that is resumed, if it is still there
/// @param folder the output folder
record TrainingPlan(
    Optional<SavedRun> saved, Recipe recipe, Optional<RunFolder> resumed, RunFolder folder) {

  /// Plans a run.
  ///
  /// @throws ConfigurationException if an option does not fit
  static TrainingPlan of(TrainingOptions options) {
    Optional<SavedRun> saved = saved(options);
    Recipe recipe = saved.map(SavedRun::recipe).orElseGet(() -> fresh(options));
    Optional<RunFolder> resumed = saved.flatMap(RunFolder::of);
    RunFolder folder =
        Optional.ofNullable(options.out)
            .map(RunFolder::new)
            .or(() -> resumed)
            .orElseGet(() -> RunFolder.fresh(recipe.model().family()));
    return new TrainingPlan(saved, recipe, resumed, folder);
  }

  /// Returns the recipe alone, of a run that is resumed or of a fresh one.
  ///
  /// @throws ConfigurationException if an option does not fit
  static Recipe recipe(TrainingOptions options) {
    return saved(options).map(SavedRun::recipe).orElseGet(options::freshRecipe);
  }

  private static Optional<SavedRun> saved(TrainingOptions options) {
    Optional<SavedRun> saved = Optional.ofNullable(options.resume).map(TrainingPlan::open);
    saved.ifPresent(options::requireNoContradiction);
    return saved;
  }

  private static Recipe fresh(TrainingOptions options) {
    Recipe recipe = options.freshRecipe();
    recipe.requireWarmUpWithinSteps();
    return recipe;
  }

  private static SavedRun open(Path resume) {
    try {
      return SavedRun.open(resume);
    } catch (CheckpointException e) {
      RunFolder run = new RunFolder(resume);
      if (run.endedBeforeItsFirstCheckpoint()) {
        run.requireFree();
        throw new ConfigurationException(
            "--resume",
            resume.toString(),
            "this run ended before its first checkpoint: --resume %s (remove the folder, or start anew with --recipe %s)"
                .formatted(resume, resume.resolve("recipe.json")),
            e);
      }
      throw new ConfigurationException(
          "--resume",
          resume.toString(),
          "the run cannot be resumed: --resume " + resume + ": " + e.getMessage(),
          e);
    }
  }

  /// Checks what can be checked before a rank is started.
  ///
  /// @param ranks world size
  /// @throws ConfigurationException if something does not fit
  void check(TrainingOptions options, int ranks) {
    options.trainerOptions(1).layout().check(recipe, ranks);
    options.trainingRun(folder.checkpoint());
    if (!isTextCached(options)) {
      checkText(options);
    }
    folder.check(resumed);
  }

  private boolean isTextCached(TrainingOptions options) {
    return options.data == null
        && saved.isPresent()
        && Corpus.isCached(options.cacheFolder(), saved.get().dataSha256());
  }

  /// Opens the text. That of a run which is resumed is known by its hash: where no other is named,
  /// the cache may have it without its place.
  ///
  /// @param listener told about what is made of a text that the cache has not, and why not
  /// @throws ConfigurationException if it cannot be opened
  Corpus openText(TrainingOptions options, CorpusListener listener) {
    Optional<Corpus> cached =
        options.data == null
            ? saved.flatMap(
                run -> Corpus.openCached(options.cacheFolder(), run.dataSha256(), listener))
            : Optional.empty();
    return cached.orElseGet(() -> Corpus.open(options.dataOptions(), listener));
  }

  private void checkText(TrainingOptions options) {
    Path data = options.dataOptions().source();
    if (!Files.isReadable(data)) {
      throw new ConfigurationException(
          "--data", data.toString(), "there is no text that can be read: --data " + data);
    }
    options.dataOptions().requireOutside("--out", folder.path());
    options.dataOptions().requireOutside("--cache", options.cacheFolder());
  }

  /// Checks that the launcher does not write what ranks print into the text.
  ///
  /// @throws ConfigurationException that names `--log-dir` if it does
  static void checkLogs(TrainingOptions options, Path logs) {
    if (options.data != null) {
      options.dataOptions().requireOutside("--log-dir", logs);
    }
  }
}
