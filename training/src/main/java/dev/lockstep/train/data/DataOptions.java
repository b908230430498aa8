package dev.lockstep.train.data;

import dev.lockstep.cache.UserCache;
import dev.lockstep.failure.ConfigurationException;
import java.nio.file.Files;
import java.nio.file.Path;

/// Which text a job trains on, and where its tokens are cached.
///
/// @param source folder, zip or file with text
/// @param suffix only files with this ending count; empty for every text file
/// @param cache folder of the token cache; made if absent
public record DataOptions(Path source, String suffix, Path cache) {
  /// Share of the files that is held out for validation: one in ten, by a hash of the file's name.
  static final int HELD_OUT_ONE_IN = 10;

  /// Returns the default: the `.java` files inside the running JDK's own `lib/src.zip`.
  ///
  /// @throws ConfigurationException if this JDK has none; the sentence names `--data`
  public static DataOptions jdkSources(Path cache) {
    Path home = Path.of(System.getProperty("java.home"));
    Path sources = home.resolve("lib").resolve("src.zip");
    if (!Files.isReadable(sources)) {
      throw new ConfigurationException(
          "--data",
          "",
          "this JDK has no sources to train on: java.home="
              + home
              + " (give text with --data DIR, ZIP or FILE)");
    }
    return new DataOptions(sources, ".java", cache);
  }

  /// Returns the options of text that the user names: every text file in it.
  public static DataOptions of(Path source, Path cache) {
    return new DataOptions(source, "", cache);
  }

  /// Returns the user's cache folder: `$XDG_CACHE_HOME/lockstep`, or `~/.cache/lockstep`.
  public static Path defaultCache() {
    return UserCache.folder(System.getenv());
  }
}
