package dev.lockstep.cache;

import dev.lockstep.failure.ConfigurationException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/// Where a user's own files lie that can be made again.
public final class UserCache {
  private static final String VARIABLE = "XDG_CACHE_HOME";

  /// What the virtual machine takes for the home of a user that the system does not know.
  private static final String NO_HOME = "?";

  private UserCache() {}

  /// Returns the folder for all of them: `$XDG_CACHE_HOME/lockstep`, or `~/.cache/lockstep`. It
  /// need not exist.
  ///
  /// @param environment variables of this process
  /// @throws ConfigurationException if the user has no home and the variable is not set
  public static Path folder(Map<String, String> environment) {
    return folder(environment, System.getProperty("user.home", NO_HOME));
  }

  /// Returns the folder as [#folder(Map)] does, for whoever can do without it.
  ///
  /// @return empty if the user has no home and the variable is not set
  public static Optional<Path> find(Map<String, String> environment) {
    return find(environment, System.getProperty("user.home", NO_HOME));
  }

  /// Returns the folder of a user with a home.
  static Path folder(Map<String, String> environment, String home) {
    return find(environment, home)
        .orElseThrow(
            () ->
                new ConfigurationException(
                    VARIABLE,
                    "",
                    "this user has no home folder and %s is not set, so nothing can be cached (set it to a folder that this user may write)"
                        .formatted(VARIABLE)));
  }

  static Optional<Path> find(Map<String, String> environment, String home) {
    String caches = environment.getOrDefault(VARIABLE, "");
    if (!caches.isEmpty()) {
      return Optional.of(Path.of(caches).resolve("lockstep"));
    }
    return home.equals(NO_HOME)
        ? Optional.empty()
        : Optional.of(Path.of(home, ".cache", "lockstep"));
  }
}
