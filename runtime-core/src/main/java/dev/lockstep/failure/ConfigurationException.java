package dev.lockstep.failure;

import org.jspecify.annotations.Nullable;

/// The user's input is wrong: an option, an environment variable or a file. The process should exit
/// with code 2 after printing the message alone; nothing has been changed or half-written.
public final class ConfigurationException extends LockstepException {
  private static final long serialVersionUID = 1L;

  private final String key;
  private final String value;

  /// Makes the failure of one setting.
  ///
  /// @param key option or variable as the user writes it, for example `--heads`
  /// @param value what the user gave
  /// @param message the whole sentence, naming key, value and remedy
  public ConfigurationException(String key, String value, String message) {
    this(key, value, message, null);
  }

  /// Makes the failure of one setting, with the exception that showed it.
  public ConfigurationException(
      String key, String value, String message, @Nullable Throwable cause) {
    super(message, cause);
    this.key = key;
    this.value = value;
  }

  /// Returns the option or variable as the user writes it.
  public String key() {
    return key;
  }

  /// Returns what the user gave.
  public String value() {
    return value;
  }
}
