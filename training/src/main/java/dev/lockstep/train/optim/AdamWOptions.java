package dev.lockstep.train.optim;

import dev.lockstep.train.options.OptionCheck;

/// How parameters are updated: AdamW with decoupled decay of matrices, gradients clipped by their
/// global norm.
///
/// @param beta1 decay of the first moment
/// @param beta2 decay of the second moment
/// @param epsilon added to the root of the second moment
/// @param weightDecay decay of matrices; vectors are not decayed
/// @param clip greatest global norm of the mean gradient; [Float#MAX_VALUE] clips nothing
public record AdamWOptions(float beta1, float beta2, float epsilon, float weightDecay, float clip) {
  /// Checks the numbers.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException if one does not fit
  public AdamWOptions {
    OptionCheck.within("beta1", beta1, 0, Math.nextDown(1f));
    OptionCheck.within("beta2", beta2, 0, Math.nextDown(1f));
    OptionCheck.above("epsilon", epsilon, 0);
    OptionCheck.within("weightDecay", weightDecay, 0, Float.MAX_VALUE);
    OptionCheck.above("clip", clip, 0);
  }

  /// Returns the default.
  public static AdamWOptions defaults() {
    return new AdamWOptions(0.9f, 0.99f, 1e-8f, 0.1f, 1);
  }
}
