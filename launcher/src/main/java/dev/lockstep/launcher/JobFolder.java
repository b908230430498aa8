package dev.lockstep.launcher;

import dev.lockstep.cache.PrivateMode;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.JobVariables;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/// The job's private folder on this node: its token, and what its ranks share there. Removed with
/// all that is in it.
final class JobFolder implements AutoCloseable {
  private static final Path SHARED_MEMORY = Path.of("/dev/shm");

  private final Path path;

  private JobFolder(Path path) {
    this.path = path;
  }

  /// Makes a folder that nobody but this user may open: in the folder that `LOCKSTEP_JOB_DIR`
  /// names, otherwise in memory if there is a place for that.
  ///
  /// @throws ConfigurationException if there is no place for it
  static JobFolder make(Map<String, String> environment) {
    Path parent = parent(environment);
    try {
      return new JobFolder(
          Files.createTempDirectory(parent, "lockstep-run-", PrivateMode.folder()));
    } catch (IOException e) {
      throw unusable(parent, e);
    }
  }

  private static Path parent(Map<String, String> environment) {
    String given = environment.getOrDefault(JobVariables.JOB_DIRECTORY, "");
    if (!given.isBlank()) {
      return Path.of(given);
    }
    return Files.isWritable(SHARED_MEMORY)
        ? SHARED_MEMORY
        : Path.of(System.getProperty("java.io.tmpdir", "/tmp"));
  }

  private static ConfigurationException unusable(Path parent, IOException cause) {
    return new ConfigurationException(
        JobVariables.JOB_DIRECTORY,
        parent.toString(),
        "job folder cannot be made: parent=%s, cause=%s (make room there, or let %s name a folder that this user may write)"
            .formatted(parent, cause, JobVariables.JOB_DIRECTORY),
        cause);
  }

  Path path() {
    return path;
  }

  /// Writes a file that nobody but this user may open.
  ///
  /// @throws ConfigurationException if there is no room for it
  Path write(String name, String content) {
    try {
      Path file = Files.createFile(path.resolve(name), PrivateMode.file());
      return Files.write(file, content.getBytes(StandardCharsets.US_ASCII));
    } catch (IOException e) {
      throw unusable(path, e);
    }
  }

  @Override
  public void close() {
    remove(path);
  }

  /// Removes a job's folder; others may remove it at the same time.
  static void remove(Path folder) {
    for (int attempt = 0; attempt < 3 && Files.exists(folder); attempt++) {
      entries(folder).forEach(JobFolder::delete);
    }
  }

  private static List<Path> entries(Path folder) {
    try (Stream<Path> walk = Files.walk(folder)) {
      return walk.sorted(Comparator.reverseOrder()).toList();
    } catch (IOException | UncheckedIOException _) {
      return List.of(); // Somebody else was quicker; what is left is seen at the next attempt.
    }
  }

  private static void delete(Path entry) {
    try {
      Files.deleteIfExists(entry);
    } catch (IOException _) {
      // A folder that somebody just wrote to; the next attempt sees it.
    }
  }
}
