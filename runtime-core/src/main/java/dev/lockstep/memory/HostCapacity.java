package dev.lockstep.memory;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/// How much memory the host still has for pages that cannot be given back under pressure. Reserving
/// more than that does not fail: the kernel kills processes instead, so it is asked first.
final class HostCapacity {
  private static final long UNKNOWN = Long.MAX_VALUE;

  private final Path root;

  private HostCapacity(Path root) {
    this.root = root;
  }

  /// Returns what is known of this host.
  static HostCapacity ofThisHost() {
    return new HostCapacity(Path.of("/"));
  }

  /// Returns what the files below `root` say of a host.
  static HostCapacity under(Path root) {
    return new HostCapacity(root);
  }

  /// Returns the bytes that can be reserved now: what the kernel counts as available, or what the
  /// control group leaves, if that is less.
  long availableBytes() {
    long available = UNKNOWN;
    for (String line : lines("proc/meminfo")) {
      if (line.startsWith("MemAvailable:")) {
        available = Long.parseLong(line.replaceAll("\\D", "")) * 1024;
      }
    }
    return Math.min(available, leftInControlGroup());
  }

  private long leftInControlGroup() {
    long left = UNKNOWN;
    for (String line : lines("proc/self/cgroup")) {
      String[] parts = line.split(":", 3);
      if (parts.length == 3 && parts[1].isEmpty()) {
        left = Math.min(left, left("sys/fs/cgroup", parts[2], "memory.max", "memory.current"));
      } else if (parts.length == 3 && parts[1].equals("memory")) {
        left =
            Math.min(
                left,
                left(
                    "sys/fs/cgroup/memory",
                    parts[2],
                    "memory.limit_in_bytes",
                    "memory.usage_in_bytes"));
      }
    }
    return left;
  }

  /// Walks from the process's group to the root: the tightest limit on the way counts. In a
  /// container the group's path may lie outside of what is mounted; the mount's root is the group
  /// then.
  private long left(String mount, String group, String limitFile, String usageFile) {
    long left = UNKNOWN;
    String path = group;
    while (true) {
      String directory = mount + (path.equals("/") ? "" : path);
      long limit = number(directory + "/" + limitFile);
      if (limit != UNKNOWN) {
        long cache = inactiveFileBytes(directory);
        left = Math.min(left, Math.max(0, limit - number(directory + "/" + usageFile) + cache));
      }
      int slash = path.lastIndexOf('/');
      if (path.length() <= 1 || slash < 0) {
        return left;
      }
      path = slash == 0 ? "/" : path.substring(0, slash);
    }
  }

  private long inactiveFileBytes(String directory) {
    for (String line : lines(directory + "/memory.stat")) {
      if (line.startsWith("inactive_file ")) {
        return Long.parseLong(line.substring("inactive_file ".length()).trim());
      }
    }
    return 0;
  }

  private long number(String file) {
    List<String> lines = lines(file);
    return lines.isEmpty() || !lines.getFirst().trim().matches("\\d{1,18}")
        ? UNKNOWN
        : Long.parseLong(lines.getFirst().trim());
  }

  private List<String> lines(String file) {
    try {
      return Files.readAllLines(root.resolve(file));
    } catch (IOException absent) {
      return List.of();
    }
  }
}
