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
  private static final Path STATUS = Path.of("/proc/self/status");
  private static final Path USERS = Path.of("/proc/self/uid_map");
  private static final String CAPABILITIES = "CapEff:";

  /// `CAP_IPC_LOCK` of linux/capability.h: whoever has it is not limited.
  private static final int CAP_IPC_LOCK = 14;

  /// What Linux gives by default, for a system that does not say.
  private static final long DEFAULT_BYTES = 64 << 10;

  /// Frames and staging memory of a few links; below it a job cannot even begin.
  private static final long SMALL_BYTES = 64 << 20;

  /// Returns this process's limit; Linux's default where it cannot be read.
  public static LockedMemory read() {
    return find().orElse(new LockedMemory(DEFAULT_BYTES));
  }

  /// Returns this process's limit, if it can be read: none for a process that may lock what it
  /// wants.
  public static Optional<LockedMemory> find() {
    return isExempt(lines(STATUS), lines(USERS))
        ? Optional.of(new LockedMemory(Long.MAX_VALUE))
        : find(lines(LIMITS));
  }

  private static List<String> lines(Path file) {
    try {
      return Files.readAllLines(file);
    } catch (IOException unreadable) {
      return List.of();
    }
  }

  /// Returns whether a process is not limited. Its capability counts in the system's own user
  /// namespace alone.
  ///
  /// @param status lines of `/proc/self/status`
  /// @param users lines of `/proc/self/uid_map`, in the system's namespace one of all users
  static boolean isExempt(List<String> status, List<String> users) {
    boolean ofSystem =
        users.size() == 1 && users.getFirst().strip().matches("0\\s+0\\s+4294967295");
    return ofSystem
        && status.stream()
            .filter(line -> line.startsWith(CAPABILITIES))
            .map(line -> line.substring(CAPABILITIES.length()).strip())
            .anyMatch(mask -> ((Long.parseUnsignedLong(mask, 16) >>> CAP_IPC_LOCK) & 1) == 1);
  }

  /// Returns the soft limit that lines of `/proc/self/limits` say, Linux's default if none does.
  static LockedMemory parse(List<String> lines) {
    return find(lines).orElse(new LockedMemory(DEFAULT_BYTES));
  }

  /// Returns the soft limit that lines of `/proc/self/limits` say, if they do.
  static Optional<LockedMemory> find(List<String> lines) {
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
