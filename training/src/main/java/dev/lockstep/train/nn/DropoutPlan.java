package dev.lockstep.train.nn;

import dev.lockstep.train.options.OptionCheck;

/// How values fall out while a model trains.
///
/// Note [same drops on any layout]: what falls is a function of seed, step, lane, place in the
/// model and the element's index in the lane's whole tensor, never of the order in which ranks or
/// programs draw.
///
/// @param rate in [0, 1); 0 lets nothing fall
/// @param seed of the run
public record DropoutPlan(float rate, long seed) {
  /// Nothing falls.
  public static final DropoutPlan NONE = new DropoutPlan(0, 0);

  /// Checks the rate.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException if it does not fit
  public DropoutPlan {
    OptionCheck.within("--dropout", rate, 0, Math.nextDown(1f));
  }
}
