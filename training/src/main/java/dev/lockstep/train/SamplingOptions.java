package dev.lockstep.train;

import dev.lockstep.train.options.OptionCheck;

/// What text is sampled.
///
/// @param prompt what it starts with; not empty
/// @param tokens how many tokens follow, each a byte
/// @param seed of the random numbers
/// @param temperature what logits are divided by; above 0
public record SamplingOptions(String prompt, int tokens, long seed, double temperature) {
  /// Checks the numbers.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException if one does not fit
  public SamplingOptions {
    OptionCheck.atLeast("length of the prompt", prompt.length(), 1);
    OptionCheck.atLeast("tokens", tokens, 0);
    OptionCheck.above("temperature", temperature, 0);
  }
}
