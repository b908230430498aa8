package dev.lockstep.job;

import dev.lockstep.failure.ConfigurationException;
import java.util.Map;
import java.util.Optional;

/// Reads environment variables; what is blank counts as not set.
record Variables(Map<String, String> map) {
  private static final int MAX_PORT = 65535;

  boolean has(String key) {
    return text(key).isPresent();
  }

  Optional<String> text(String key) {
    return Optional.ofNullable(map.get(key)).map(String::strip).filter(text -> !text.isEmpty());
  }

  /// Returns the first of these variables that is set, or the first of all.
  String firstSet(String... keys) {
    for (String key : keys) {
      if (has(key)) {
        return key;
      }
    }
    return keys[0];
  }

  /// Returns a number from 0, or -1 if the variable is not set.
  int number(String key) {
    return (int) Math.min(bigNumber(key), Integer.MAX_VALUE);
  }

  /// Returns a number from 0, or -1 if the variable is not set.
  long bigNumber(String key) {
    Optional<String> text = text(key);
    if (text.isEmpty()) {
      return -1;
    }
    try {
      long number = Long.parseLong(text.get());
      if (number >= 0) {
        return number;
      }
    } catch (NumberFormatException _) {
      // Said below.
    }
    throw wrong(key, "variable is no number from 0: %s=%s".formatted(key, text.get()));
  }

  /// Returns a port, or -1 if the variable is not set.
  int port(String key) {
    int port = number(key);
    if (port == 0 || port > MAX_PORT) {
      throw wrong(key, "variable is no port from 1 to 65535: %s=%d".formatted(key, port));
    }
    return port;
  }

  /// Returns a number that must be there.
  ///
  /// @param companion the variable that comes with it
  int required(String key, String companion) {
    int number = number(key);
    if (number < 0) {
      throw wrong(
          key,
          "launcher's variables are incomplete: %s is not set, %s=%s (set both, or neither for a job of one rank)"
              .formatted(key, companion, text(companion).orElse("")));
    }
    return number;
  }

  /// Returns the failure of one variable.
  ConfigurationException wrong(String key, String message) {
    return new ConfigurationException(key, text(key).orElse(""), message);
  }

  boolean isTrue(String key) {
    return text(key).map(text -> text.equalsIgnoreCase("true") || text.equals("1")).orElse(false);
  }
}
