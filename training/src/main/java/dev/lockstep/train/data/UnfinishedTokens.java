package dev.lockstep.train.data;

import dev.lockstep.job.HostName;
import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Token files in the making: their names say who makes them, so that what a killed maker leaves
/// behind is known.
final class UnfinishedTokens {
  private static final Pattern NAME = Pattern.compile("building-(.+)-(\\d{1,18})-(-?\\d+)\\.tmp");
  private static final String ALL = "building-*.tmp";

  // Another host's processes cannot be looked at; nobody tokenises for so long without a write.
  private static final Duration LONGEST_PAUSE = Duration.ofDays(1);

  private UnfinishedTokens() {}

  /// Returns a name that nobody else uses.
  static Path in(Path folder) {
    long process = ProcessHandle.current().pid();
    return folder.resolve(
        "building-%s-%s-%s.tmp".formatted(HostName.local(), process, System.nanoTime()));
  }

  /// Deletes what makers left behind that are gone: those of this host whose processes have ended,
  /// others a day after they last wrote. What cannot be deleted stays.
  static void removeAbandoned(Path folder) {
    try (DirectoryStream<Path> unfinished = Files.newDirectoryStream(folder, ALL)) {
      for (Path file : unfinished) {
        if (isAbandoned(file)) {
          Files.deleteIfExists(file);
        }
      }
    } catch (IOException | DirectoryIteratorException _) {
      // It only takes room.
    }
  }

  private static boolean isAbandoned(Path file) throws IOException {
    Matcher name = NAME.matcher(file.getFileName().toString());
    if (name.matches() && name.group(1).equals(HostName.local())) {
      return ProcessHandle.of(Long.parseLong(name.group(2))).isEmpty();
    }
    Instant written = Files.getLastModifiedTime(file).toInstant();
    return written.isBefore(Instant.now().minus(LONGEST_PAUSE));
  }
}
