package dev.lockstep.train;

import java.nio.file.Path;

/// Hears how a run goes, on the thread that trains.
public interface ProgressListener {
  /// Hears nothing.
  ProgressListener SILENT = new ProgressListener() {};

  /// A step is done; the trainer tells its number, loss, gradient norm and learning rate.
  default void stepDone(Trainer trainer) {}

  /// The held-out text was evaluated.
  ///
  /// @param loss nats per token
  default void evaluated(Trainer trainer, float loss) {}

  /// A checkpoint was written; only rank 0 hears of it.
  default void saved(Trainer trainer, Path checkpoint) {}
}
