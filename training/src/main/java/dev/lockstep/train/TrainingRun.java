package dev.lockstep.train;

import dev.lockstep.train.checkpoint.CheckpointFolder;
import dev.lockstep.train.options.OptionCheck;
import java.nio.file.Path;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/// What a trainer does beside its steps. Nothing here changes the numbers of a run. Every rank
/// gives the same intervals, and a checkpoint or none: [Trainer#train] refuses what differs.
///
/// @param checkpoint folder that checkpoints are written to, at the end too; rank 0's counts; null
///   for none
/// @param saveEvery steps between checkpoints; 0 for the end alone
/// @param keepOld how many old checkpoints stay beside the newest, as `checkpoint.step-N`, or
///   [CheckpointFolder#AS_BEFORE] for those that there are. None of a later step than the newest is
///   deleted
/// @param evaluateEvery steps between evaluations; 0 for none. The end of the run is evaluated too,
///   and where it is stopped at its last step; a stop at another step leaves its evaluation out
/// @param listener hears how it goes
/// @param stop asked before each step: whether this rank wants the run to stop after it. All ranks
///   then stop after the same step
public record TrainingRun(
    @Nullable Path checkpoint,
    int saveEvery,
    int keepOld,
    int evaluateEvery,
    ProgressListener listener,
    BooleanSupplier stop) {
  /// Checks the numbers.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException if one does not fit
  public TrainingRun {
    OptionCheck.atLeast("--save-every", saveEvery, 0);
    OptionCheck.atLeast("--keep-old", keepOld, CheckpointFolder.AS_BEFORE);
    OptionCheck.atLeast("steps between evaluations", evaluateEvery, 0);
  }

  /// Returns a run that only takes steps, to the recipe's end.
  public static TrainingRun stepsOnly() {
    return new TrainingRun(null, 0, 0, 0, ProgressListener.SILENT, () -> false);
  }

  /// Returns a run that saves a checkpoint every 100 steps and at the end.
  public static TrainingRun savingTo(Path checkpoint) {
    return new TrainingRun(checkpoint, 100, 0, 0, ProgressListener.SILENT, () -> false);
  }

  /// Returns this run with another number of steps between checkpoints; 0 for the end alone.
  public TrainingRun withSaveEvery(int steps) {
    return new TrainingRun(checkpoint, steps, keepOld, evaluateEvery, listener, stop);
  }

  /// Returns this run with another number of old checkpoints that stay.
  public TrainingRun withKeepOld(int checkpoints) {
    return new TrainingRun(checkpoint, saveEvery, checkpoints, evaluateEvery, listener, stop);
  }

  /// Returns this run with another number of steps between evaluations; 0 for none.
  public TrainingRun withEvaluateEvery(int steps) {
    return new TrainingRun(checkpoint, saveEvery, keepOld, steps, listener, stop);
  }

  /// Returns this run with a listener.
  public TrainingRun with(ProgressListener other) {
    return new TrainingRun(checkpoint, saveEvery, keepOld, evaluateEvery, other, stop);
  }

  /// Returns this run with a wish to stop.
  public TrainingRun stoppingWhen(BooleanSupplier other) {
    return new TrainingRun(checkpoint, saveEvery, keepOld, evaluateEvery, listener, other);
  }
}
