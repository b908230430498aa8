package dev.lockstep.cache;

import java.nio.file.Path;
import java.util.Map;

/// Where a user's own files lie that can be made again.
public final class UserCache {
  private UserCache() {}

  /// Returns the folder for all of them: `$XDG_CACHE_HOME/lockstep`, or `~/.cache/lockstep`. It
  /// need not exist.
  ///
  /// @param environment variables of this process
  public static Path folder(Map<String, String> environment) {
    String caches = environment.getOrDefault("XDG_CACHE_HOME", "");
    Path base =
        caches.isEmpty() ? Path.of(System.getProperty("user.home"), ".cache") : Path.of(caches);
    return base.resolve("lockstep");
  }
}
