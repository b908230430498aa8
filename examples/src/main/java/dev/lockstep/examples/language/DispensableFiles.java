package dev.lockstep.examples.language;

import dev.lockstep.failure.Printable;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;
import java.util.function.Consumer;

/// Files that a run can do without: of each that cannot be written it says so once, and goes on.
final class DispensableFiles {
  private final Consumer<String> warning;
  private final Set<Path> told = new HashSet<>();

  /// @param warning hears the sentences
  DispensableFiles(Consumer<String> warning) {
    this.warning = warning;
  }

  /// Writes something to a file, if that can be done.
  ///
  /// @param write throws [UncheckedIOException] if it cannot
  void write(Path file, Runnable write) {
    try {
      write.run();
    } catch (UncheckedIOException e) {
      if (told.add(file)) {
        warning.accept(
            "a file cannot be written, the run goes on without: file=%s, cause=%s"
                .formatted(file, Printable.line(String.valueOf(e.getMessage()))));
      }
    }
  }
}
