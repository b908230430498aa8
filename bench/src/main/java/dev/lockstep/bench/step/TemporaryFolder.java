package dev.lockstep.bench.step;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// A folder for what a command writes on its way: gone when it ends.
public final class TemporaryFolder implements AutoCloseable {
  // Work that a signal has cut short may make files while they are deleted.
  private static final int MOST_TRIES = 100;

  private final Path path;
  private final @Nullable Thread atExit;

  private TemporaryFolder(Path path, boolean isOfProcess) {
    this.path = path;
    this.atExit = isOfProcess ? new Thread(this::removeAtExit, "lockstep-temporary") : null;
    if (atExit != null) {
      Runtime.getRuntime().addShutdownHook(atExit);
    }
  }

  /// Makes the folder of work that a signal ends with its process: the folder goes too.
  ///
  /// @param prefix what its name begins with
  public static TemporaryFolder ofProcess(String prefix) throws IOException {
    return new TemporaryFolder(Files.createTempDirectory(prefix), true);
  }

  /// Makes the folder of work that is asked to stop, and then closes it.
  ///
  /// @param prefix what its name begins with
  public static TemporaryFolder ofWork(String prefix) throws IOException {
    return new TemporaryFolder(Files.createTempDirectory(prefix), false);
  }

  /// Returns where it is.
  public Path path() {
    return path;
  }

  /// Deletes the folder and all that is in it; idempotent.
  @Override
  public void close() throws IOException {
    remove();
    if (atExit != null) {
      try {
        var _ = Runtime.getRuntime().removeShutdownHook(atExit);
      } catch (IllegalStateException _) {
        // The process is ending, and the hook finds nothing.
      }
    }
  }

  private void removeAtExit() {
    try {
      remove();
    } catch (IOException _) {
      // Nobody is there to be told.
    }
  }

  private synchronized void remove() throws IOException {
    for (int tries = 1; Files.exists(path); tries++) {
      try {
        for (Path each : inside()) {
          Files.deleteIfExists(each);
        }
      } catch (DirectoryNotEmptyException | NoSuchFileException grown) {
        if (tries == MOST_TRIES) {
          throw grown;
        }
      }
    }
  }

  /// What is in the folder, each before the folder it is in.
  private List<Path> inside() throws IOException {
    try (Stream<Path> paths = Files.walk(path)) {
      return paths.sorted(Comparator.reverseOrder()).toList();
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
  }
}
