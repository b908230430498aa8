package dev.lockstep.device.neuron.ffi;

import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Variables of the process's environment that sessions set while they are open: what was there
/// before the first comes back after the last. The environment is the process's, so this is static;
/// guarded by the lock of [NrtSession].
final class SessionVariables {
  private static final Map<String, Before> BEFORE = new HashMap<>();

  private SessionVariables() {}

  /// What a variable was before.
  ///
  /// @param value null if there was none
  /// @param users open sessions that have set it
  private record Before(@Nullable String value, int users) {
    Before with(int more) {
      return new Before(value, users + more);
    }
  }

  /// Sets variables for a session.
  static void set(Map<String, String> variables) {
    variables.forEach(
        (name, value) -> {
          Before before = BEFORE.getOrDefault(name, new Before(LibC.getenv(name), 0));
          BEFORE.put(name, before.with(1));
          LibC.setenv(name, value);
        });
  }

  /// Undoes [#set] for a session that has ended.
  static void restore(Map<String, String> variables) {
    for (String name : variables.keySet()) {
      Before before = BEFORE.remove(name);
      if (before == null) {
        continue;
      }
      if (before.users > 1) {
        BEFORE.put(name, before.with(-1));
      } else if (before.value == null) {
        LibC.unsetenv(name);
      } else {
        LibC.setenv(name, before.value);
      }
    }
  }
}
