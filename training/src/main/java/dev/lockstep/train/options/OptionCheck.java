package dev.lockstep.train.options;

import dev.lockstep.failure.ConfigurationException;

/// Refuses settings in one sentence that names the option and the value.
public final class OptionCheck {
  private OptionCheck() {}

  /// Requires `value >= least`.
  public static void atLeast(String option, long value, long least) {
    if (value < least) {
      throw refusal(
          option, value, "too small: %s %d (at least %d)".formatted(option, value, least));
    }
  }

  /// Requires `value <= most`.
  public static void atMost(String option, long value, long most) {
    if (value > most) {
      throw refusal(option, value, "too large: %s %d (at most %d)".formatted(option, value, most));
    }
  }

  /// Requires a finite `value > bound`.
  public static void above(String option, double value, double bound) {
    if (!(value > bound) || Double.isInfinite(value)) {
      throw refusal(
          option, value, "too small: %s %s (must be above %s)".formatted(option, value, bound));
    }
  }

  /// Requires `least <= value <= most`.
  public static void within(String option, double value, double least, double most) {
    if (!(value >= least && value <= most)) {
      throw refusal(
          option,
          value,
          "out of range: %s %s (from %s to %s)".formatted(option, value, least, most));
    }
  }

  /// Returns the refusal of one setting.
  public static ConfigurationException refusal(String option, Object value, String sentence) {
    return new ConfigurationException(option, String.valueOf(value), sentence);
  }
}
