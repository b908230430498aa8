package dev.lockstep.train;

import dev.lockstep.failure.CheckpointException;
import dev.lockstep.failure.LockstepException;
import java.nio.file.Path;

/// A training step whose loss or gradient is no finite number: the weights are not to be used any
/// more. The norm is the root of float32 squares of gradients that are sums over the step's tokens,
/// so one beyond 1.8e19 by the number of tokens counts as no finite number too. All ranks fail
/// alike, since all have the same numbers, and nothing of the step was saved: the last checkpoint
/// stands. Resumed from it the run ends the same way; start again with a lower learning rate.
public final class DivergedException extends LockstepException {
  private static final long serialVersionUID = 1L;

  private final long step;
  private final float loss;
  private final float gradientNorm;

  /// Makes the failure; the arguments come back from the accessors.
  public DivergedException(long step, float loss, float gradientNorm) {
    super(
        "training diverged: step=%d, loss=%s, gradientNorm=%s (nothing of this step is saved and the last checkpoint stands; start again with a lower --lr or a longer warm-up)"
            .formatted(step, loss, gradientNorm));
    this.step = step;
    this.loss = loss;
    this.gradientNorm = gradientNorm;
  }

  /// Checks the numbers of a step.
  ///
  /// @throws DivergedException if one is not finite
  static void check(long step, float loss, float gradientNorm) {
    if (!Float.isFinite(loss) || !Float.isFinite(gradientNorm)) {
      throw new DivergedException(step, loss, gradientNorm);
    }
  }

  /// Returns the refusal to save what a step has left that diverged.
  static CheckpointException unsaved(Path checkpoint, long step) {
    return new CheckpointException(
        checkpoint.toString(),
        "a run that diverged is not saved: checkpoint=%s, step=%d (the last checkpoint stands)"
            .formatted(checkpoint, step),
        null);
  }

  /// Returns the number of the step, from 1.
  public long step() {
    return step;
  }

  /// Returns the mean loss of the step.
  public float loss() {
    return loss;
  }

  /// Returns the global norm of the step's mean gradient.
  public float gradientNorm() {
    return gradientNorm;
  }
}
