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

  // The next term of either series is below 1e-20 for an eighth of a turn.
  private static final int TERMS = 9;

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
    return new LearningRate(peak, peak / 10, Math.clamp(steps / 10, 0, DEFAULT_WARMUP));
  }

  /// Returns this schedule with another peak: as long a warm-up, down to the same share of the
  /// peak.
  public LearningRate withPeak(float other) {
    return new LearningRate(other, Math.min(other, minimum / peak * other), warmupSteps);
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
    double cosine = cosineOfQuarterTurns(done);
    // (1 + cos 2x) / 2 = cos^2 x
    return (float) (minimum + ((double) peak - minimum) * cosine * cosine);
  }

  /// Returns `cos(x pi / 2)` for `x` in 0 to 1: the Taylor series of the cosine up to an eighth of
  /// a turn, of the sine beyond. The same bits on every machine, as those of [StrictMath#cos],
  /// which allocates.
  private static double cosineOfQuarterTurns(double x) {
    boolean beyond = x > 0.5;
    double angle = (beyond ? 1 - x : x) * (Math.PI / 2);
    double square = angle * angle;
    int first = beyond ? 1 : 0;
    double sum = 1;
    for (int term = TERMS; term > 0; term--) {
      int power = 2 * term + first;
      sum = 1 - square / (power * (power - 1)) * sum;
    }
    return beyond ? angle * sum : sum;
  }
}
