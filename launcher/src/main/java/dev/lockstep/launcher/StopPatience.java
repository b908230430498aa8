package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.JobVariables;
import java.math.BigDecimal;
import java.time.Duration;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// How long ranks that are asked to stop may take to save.
final class StopPatience {
  /// As long as torchrun, Slurm and Kubernetes wait before they use force.
  static final Duration DEFAULT = Duration.ofSeconds(30);

  private static final String OPTION = "--stop-patience";

  private StopPatience() {}

  /// Returns what the option says, in seconds, or else the environment.
  ///
  /// @throws ConfigurationException if it is no number
  static Duration of(@Nullable String option, Map<String, String> environment) {
    if (option == null) {
      return of(environment);
    }
    if (!option.matches("\\d{1,6}(\\.\\d{1,3})?")) {
      throw new ConfigurationException(
          OPTION,
          option,
          "option is wrong: %s=%s: it must be a number of seconds, such as 30 or 0.5"
              .formatted(OPTION, option));
    }
    return Duration.ofMillis(new BigDecimal(option).movePointRight(3).longValueExact());
  }

  /// Returns what the environment says.
  ///
  /// @throws ConfigurationException if it is no number
  static Duration of(Map<String, String> environment) {
    String key = JobVariables.STOP_PATIENCE_MILLIS;
    String text = environment.getOrDefault(key, "").strip();
    if (text.isEmpty()) {
      return DEFAULT;
    }
    if (!text.matches("\\d{1,12}")) {
      throw new ConfigurationException(
          key,
          text,
          "variable is not a number of milliseconds: %s=%s (such as 30000)".formatted(key, text));
    }
    return Duration.ofMillis(Long.parseLong(text));
  }
}
