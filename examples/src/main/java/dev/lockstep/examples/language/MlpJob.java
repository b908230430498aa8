package dev.lockstep.examples.language;

import dev.lockstep.train.model.MlpShape;

/// The job `mlp`: trains a plain MLP on text.
public final class MlpJob extends TrainingJob {
  /// Makes the job; it holds nothing.
  public MlpJob() {
    super(MlpShape.defaults());
  }
}
