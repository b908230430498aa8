package dev.lockstep.train.data;

import dev.lockstep.cache.UserCache;
import dev.lockstep.failure.ConfigurationException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/// Which text a job trains on, and where its tokens are cached.
///
/// @param source folder, zip or file with text
/// @param suffix only files with this ending count; empty for every text file
/// @param cache folder of the token cache; made if absent
public record DataOptions(Path source, String suffix, Path cache) {
  /// Share of the files that is held out for validation: one in ten, by a hash of the file's name.
  static final int HELD_OUT_ONE_IN = 10;

  // How the names end of what a run writes.
  private static final List<String> WRITTEN =
      List.of(".json", ".jsonl", ".log", ".lz4", ".safetensors", ".svg", "lock", "SHA256SUMS");

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

  /// Checks that what a run writes to a folder is no text of its own: that would be another with
  /// every run, so that no run could be gone on with. Hidden folders in the text are no part of it,
  /// nor are files whose names do not end as [#suffix] says.
  ///
  /// @param option what names the folder
  /// @throws ConfigurationException if the folder is in the source
  public void requireOutside(String option, Path written) {
    if (!Files.isDirectory(source) || WRITTEN.stream().noneMatch(name -> name.endsWith(suffix))) {
      return;
    }
    Path text = real(source);
    Path place = real(written);
    if (!place.startsWith(text)) {
      return;
    }
    for (Path name : text.relativize(place)) {
      if (name.toString().startsWith(".")) {
        return;
      }
    }
    throw new ConfigurationException(
        option,
        written.toString(),
        "the run would write into its own text: %s %s, --data %s (give %s a folder outside of --data)"
            .formatted(option, written, source, option));
  }

  /// Where a folder is, or will be once it is made.
  private static Path real(Path folder) {
    Path absolute = folder.toAbsolutePath().normalize();
    Path existing = absolute;
    while (!Files.exists(existing) && existing.getParent() != null) {
      existing = existing.getParent();
    }
    try {
      return existing.toRealPath().resolve(existing.relativize(absolute));
    } catch (IOException unknown) {
      return absolute; // whoever goes there is told why it cannot be reached
    }
  }

  /// Returns the user's cache folder: `$XDG_CACHE_HOME/lockstep`, or `~/.cache/lockstep`.
  public static Path defaultCache() {
    return UserCache.folder(System.getenv());
  }
}
