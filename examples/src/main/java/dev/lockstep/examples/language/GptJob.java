package dev.lockstep.examples.language;

import dev.lockstep.train.model.GptShape;

/// The job `gpt`: trains a byte-level GPT-2 on text.
public final class GptJob extends TrainingJob {
  /// Makes the job; it holds nothing.
  public GptJob() {
    super(GptShape.defaults());
  }
}
