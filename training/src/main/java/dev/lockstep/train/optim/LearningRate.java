package dev.lockstep.train.optim;

import dev.lockstep.train.options.OptionCheck;

/// The learning rate of each step: a linear warm-up to the peak, then half a cosine down to the
/// minimum at the last step.
///
/// @param peak greatest rate, reached at step `warmupSteps`
/// @param minimum rate of the last step
/// @param warmupSteps steps of the warm-up; may be 0
public record LearningRate(float peak, float minimum, int warmupSteps) {
  private static final int DEFAULT_WARMUP = 100;

  /// Checks the numbers.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException if one does not fit
  public LearningRate {
    OptionCheck.above("--lr", peak, 0);
    OptionCheck.within("minimum learning rate", minimum, 0, peak);
    OptionCheck.atLeast("warm-up steps", warmupSteps, 0);
  }

  /// Returns the usual schedule of a run of `steps` steps: down to a tenth of the peak, after a
  /// warm-up of 100 steps, or of a tenth of a shorter run.
  public static LearningRate of(float peak, int steps) {
    return new LearningRate(peak, peak / 10, Math.min(DEFAULT_WARMUP, steps / 10));
  }

  /// Returns the rate of one step.
  ///
  /// @param step number of the step, from 1
  /// @param steps steps of the whole run
  public float at(long step, long steps) {
    if (step < warmupSteps) {
      return (float) ((double) peak * step / warmupSteps);
    }
    long decaying = steps - warmupSteps;
    if (decaying <= 0) {
      return peak;
    }
    double done = Math.min(1, (double) (step - warmupSteps) / decaying);
    return (float) (minimum + 0.5 * (peak - minimum) * (1 + StrictMath.cos(StrictMath.PI * done)));
  }
}
