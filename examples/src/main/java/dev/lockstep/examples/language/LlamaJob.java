package dev.lockstep.examples.language;

import dev.lockstep.train.model.LlamaShape;

/// The job `llama`: trains a byte-level Llama on text.
public final class LlamaJob extends TrainingJob {
  /// Makes the job; it holds nothing.
  public LlamaJob() {
    super(LlamaShape.defaults());
  }
}
