package dev.lockstep.memory;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/// How much memory this process may keep from being paged out, `ulimit -l`: a network card reaches
/// no other.
///
/// @param bytes the limit, [Long#MAX_VALUE] for none
public record LockedMemory(long bytes) {
  /// What lifts the limit.
  public static final String REMEDY =
      "ulimit -l unlimited, or memlock in /etc/security/limits.conf";

  private static final Path LIMITS = Path.of("/proc/self/limits");
  private static final String LINE = "Max locked memory";

  /// What Linux gives by default, for a system that does not say.
  private static final long DEFAULT_BYTES = 64 << 10;

  /// Frames and staging memory of a few links; below it a job cannot even begin.
  private static final long SMALL_BYTES = 64 << 20;

  /// Returns this process's limit; Linux's default where it cannot be read.
  public static LockedMemory read() {
    try {
      return parse(Files.readAllLines(LIMITS));
    } catch (IOException unreadable) {
      return new LockedMemory(DEFAULT_BYTES);
    }
  }

  /// Returns the soft limit that lines of `/proc/self/limits` say, Linux's default if none does.
  static LockedMemory parse(List<String> lines) {
    return find(lines).orElse(new LockedMemory(DEFAULT_BYTES));
  }

  /// Returns the soft limit that lines of `/proc/self/limits` say, if they do.
  public static Optional<LockedMemory> find(List<String> lines) {
    return lines.stream()
        .filter(line -> line.startsWith(LINE))
        .map(line -> line.substring(LINE.length()).strip().split("\\s+", 2)[0])
        .map(soft -> soft.equals("unlimited") ? Long.MAX_VALUE : Long.parseLong(soft))
        .map(LockedMemory::new)
        .findFirst();
  }

  /// Returns whether there is no limit.
  public boolean isUnlimited() {
    return bytes == Long.MAX_VALUE;
  }

  /// Returns whether a network card's frames and staging memory hardly fit.
  public boolean isTooLittle() {
    return bytes < SMALL_BYTES;
  }

  /// Returns what of it registrations may take, in bytes: the JVM and the provider need some.
  public long budget() {
    return isUnlimited() ? bytes : bytes / 8 * 7;
  }

  /// Returns the limit in words, with the remedy if it is too little.
  public String sentence() {
    if (isUnlimited()) {
      return "locked memory unlimited";
    }
    return "locked memory %d KiB%s"
        .formatted(
            bytes >> 10,
            isTooLittle() ? " is too little, large messages are copied (" + REMEDY + ")" : "");
  }
}
