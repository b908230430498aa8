package dev.lockstep.job;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/// How a host's ranks share its processors.
///
/// A launcher may bind each rank to processors of its own, and may leave all ranks on all of them:
/// only the ranks together can tell, each by the list that the system keeps of it.
final class Processors {
  private static final Path STATUS = Path.of("/proc/self/status");
  private static final String ALLOWED = "Cpus_allowed_list:";

  private Processors() {}

  /// Returns the processors that this process may run on, as Linux lists them, `0-3,8`; nothing
  /// where it does not say.
  static String allowed() {
    try {
      return allowed(Files.readAllLines(STATUS));
    } catch (IOException unreadable) {
      return "";
    }
  }

  /// Returns the list among lines of `/proc/self/status`.
  static String allowed(List<String> status) {
    return status.stream()
        .filter(line -> line.startsWith(ALLOWED))
        .map(line -> line.substring(ALLOWED.length()).strip())
        .findFirst()
        .orElse("");
  }

  /// Returns how many ranks of this host may run on the same processors as this one, itself
  /// included; every rank of the host asks.
  ///
  /// @param allowed the processors that this rank may run on
  /// @param timeout how long to wait for the others' lists
  static int sharers(Store store, Placement placement, String allowed, Duration timeout) {
    List<String> hosts = placement.hosts();
    String own = placement.host();
    if (hosts.stream().filter(own::equals).count() == 1) {
      return 1;
    }
    store.set(key(placement.rank()), allowed.getBytes(StandardCharsets.UTF_8));
    int sharers = 0;
    for (int rank = 0; rank < hosts.size(); rank++) {
      if (hosts.get(rank).equals(own)) {
        byte[] others = store.get(key(rank), timeout);
        sharers += new String(others, StandardCharsets.UTF_8).equals(allowed) ? 1 : 0;
      }
    }
    return sharers;
  }

  /// Returns the share of one rank, at least 1.
  static int share(int sharers) {
    return Math.max(1, Runtime.getRuntime().availableProcessors() / sharers);
  }

  private static String key(int rank) {
    return "lockstep/processors/" + rank;
  }
}
