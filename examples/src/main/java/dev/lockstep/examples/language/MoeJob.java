package dev.lockstep.examples.language;

import dev.lockstep.train.model.MoeShape;

/// The job `moe`: trains a GPT with routed experts on text.
public final class MoeJob extends TrainingJob {
  /// Makes the job; it holds nothing.
  public MoeJob() {
    super(MoeShape.defaults());
  }
}
