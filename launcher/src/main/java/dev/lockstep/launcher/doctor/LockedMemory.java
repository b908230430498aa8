package dev.lockstep.launcher.doctor;

import java.util.List;

/// How much memory a process may keep from being paged out: network cards reach no other.
final class LockedMemory {
  // Frames and staging memory of a few links.
  private static final long ENOUGH_BYTES = 64L << 20;
  private static final String LINE = "Max locked memory";
  private static final String REMEDY =
      "ulimit -l unlimited, or memlock in /etc/security/limits.conf";

  private final List<String> limits;

  /// @param limits lines of `/proc/self/limits`
  LockedMemory(List<String> limits) {
    this.limits = List.copyOf(limits);
  }

  /// @param pinning name of the transport that is there and needs it, empty for none
  Finding finding(String pinning) {
    String name = "locked memory";
    String limit =
        limits.stream()
            .filter(line -> line.startsWith(LINE))
            .map(line -> line.substring(LINE.length()).strip().split("\\s+", 2)[0])
            .findFirst()
            .orElse("unknown");
    if (!limit.matches("\\d{1,18}")) {
      return Finding.ok(name, limit);
    }
    long bytes = Long.parseLong(limit);
    String size = ProcFiles.size(bytes);
    if (pinning.isEmpty()) {
      return Finding.ok(
          name, size + " (network cards that read memory need more: ulimit -l unlimited)");
    }
    return bytes < ENOUGH_BYTES
        ? Finding.absent(
            name,
            "%s is too little for %s, which copies what it cannot lock or does not open at all (%s)"
                .formatted(size, pinning, REMEDY))
        : Finding.ok(name, "%s: %s copies what exceeds it (%s)".formatted(size, pinning, REMEDY));
  }
}
