package dev.lockstep.launcher;

import dev.lockstep.cache.PrivateMode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/// The job's private folder on this node: its token, and what its ranks share there. Removed with
/// all that is in it.
final class JobFolder implements AutoCloseable {
  private static final Path SHARED_MEMORY = Path.of("/dev/shm");

  private final Path path;

  private JobFolder(Path path) {
    this.path = path;
  }

  /// Makes a folder that nobody but this user may open, in memory if there is a place for that.
  static JobFolder make() throws IOException {
    Path parent =
        Files.isWritable(SHARED_MEMORY)
            ? SHARED_MEMORY
            : Path.of(System.getProperty("java.io.tmpdir", "/tmp"));
    return new JobFolder(Files.createTempDirectory(parent, "lockstep-run-", PrivateMode.folder()));
  }

  Path path() {
    return path;
  }

  /// Writes a file that nobody but this user may open.
  Path write(String name, String content) throws IOException {
    Path file = Files.createFile(path.resolve(name), PrivateMode.file());
    return Files.write(file, content.getBytes(StandardCharsets.US_ASCII));
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
