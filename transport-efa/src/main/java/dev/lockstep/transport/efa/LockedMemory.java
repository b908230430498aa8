package dev.lockstep.transport.efa;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/// How much memory this process may keep from being paged out, `ulimit -l`: a network card reaches
/// no other.
///
/// @param bytes the limit, [Long#MAX_VALUE] for none
record LockedMemory(long bytes) {
  private static final Path LIMITS = Path.of("/proc/self/limits");
  private static final String LINE = "Max locked memory";

  /// What Linux gives by default, for a system that does not say.
  private static final long DEFAULT_BYTES = 64 << 10;

  /// Frames and staging memory of a few links; below it a job cannot even begin.
  private static final long SMALL_BYTES = 64 << 20;

  static LockedMemory read() {
    try {
      return parse(Files.readAllLines(LIMITS));
    } catch (IOException unreadable) {
      return new LockedMemory(DEFAULT_BYTES);
    }
  }

  /// Reads the soft limit out of the lines of `/proc/self/limits`.
  static LockedMemory parse(List<String> lines) {
    for (String line : lines) {
      if (line.startsWith(LINE)) {
        String soft = line.substring(LINE.length()).strip().split("\\s+", 2)[0];
        return new LockedMemory(soft.equals("unlimited") ? Long.MAX_VALUE : Long.parseLong(soft));
      }
    }
    return new LockedMemory(DEFAULT_BYTES);
  }

  /// Returns what of it registrations may take: the JVM and the provider need some.
  long budget() {
    return bytes == Long.MAX_VALUE ? bytes : bytes / 8 * 7;
  }

  String sentence() {
    if (bytes == Long.MAX_VALUE) {
      return "locked memory unlimited";
    }
    return "locked memory %d KiB%s"
        .formatted(
            bytes >> 10,
            bytes < SMALL_BYTES
                ? " is too little, large messages are copied (ulimit -l unlimited, or memlock in"
                    + " /etc/security/limits.conf)"
                : "");
  }
}
