package dev.lockstep.launcher.doctor;

import dev.lockstep.failure.Availability;
import dev.lockstep.launcher.doctor.Finding.Verdict;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.transport.AddressBook;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportOrder;
import dev.lockstep.transport.TransportProvider;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;

/// What joins ranks here, and what a job would take that names none.
final class Transports {
  /// What reaches only memory that is kept from being paged out.
  private static final String PINNING = "efa";

  private static final String NONE = "none";

  /// Ranks that the command starts are processes.
  private static final String OF_THREADS = "in-process";

  /// A transport, and whether it is there.
  private record Found(TransportProvider provider, Availability availability) {
    String name() {
      return provider.name();
    }

    boolean isThere() {
      return availability.isAvailable();
    }
  }

  private final List<Found> found;

  /// Looks at transports.
  ///
  /// @param providers in the order in which a job tries them
  Transports(Collection<TransportProvider> providers) {
    this.found = providers.stream().map(provider -> new Found(provider, provider.probe())).toList();
  }

  /// Returns the name of the one that is there and needs locked memory, empty if there is none.
  String pinning() {
    return isThere(PINNING) ? PINNING : "";
  }

  List<Finding> findings() {
    List<Finding> findings =
        new ArrayList<>(
            found.stream()
                .sorted(Comparator.comparing(Found::name))
                .map(one -> Finding.of("transport " + one.name(), one.availability()))
                .toList());
    if (findings.stream().anyMatch(finding -> finding.verdict() == Verdict.OK)) {
      String near = taken(List.of("here", "here"));
      String far = taken(List.of("here", "there"));
      boolean both = isThere(TransportOrder.WITHIN_HOSTS) && !far.startsWith(NONE);
      findings.add(
          Finding.ok(
              "transport choice",
              "a job on this host would take: %s; between hosts: %s%s"
                  .formatted(
                      near,
                      far,
                      both
                          ? ", and %s within those of several ranks"
                              .formatted(TransportOrder.WITHIN_HOSTS)
                          : "")));
    }
    return findings;
  }

  private boolean isThere(String name) {
    return found.stream().anyMatch(one -> one.name().equals(name) && one.isThere());
  }

  /// Returns what a job would take and why nothing that is tried before it.
  private String taken(List<String> hosts) {
    List<String> missing = new ArrayList<>();
    List<String> near = new ArrayList<>();
    try (MemoryPool none = MemoryPool.root("doctor", 0)) {
      TransportContext job = job(hosts, none);
      for (Found one : found) {
        String name = one.name();
        if (name.equals(OF_THREADS)) {
          continue;
        }
        if (!one.isThere()) {
          missing.add(name);
        } else if (!one.provider().reaches(job).isAvailable()) {
          near.add(name);
        } else {
          return name + passedOver(missing, near);
        }
      }
    }
    return NONE + passedOver(missing, near);
  }

  private static String passedOver(List<String> missing, List<String> near) {
    List<String> reasons = new ArrayList<>();
    if (!near.isEmpty()) {
      reasons.add(String.join(", ", near) + ": for one host only");
    }
    if (!missing.isEmpty()) {
      reasons.add(String.join(", ", missing) + ": missing");
    }
    return reasons.isEmpty() ? "" : " (" + String.join("; ", reasons) + ")";
  }

  private static TransportContext job(List<String> hosts, MemoryPool memory) {
    AddressBook nobody =
        new AddressBook() {
          @Override
          public void publish(String key, byte[] value) {
            throw new UnsupportedOperationException("there is no job: key=" + key);
          }

          @Override
          public byte[] lookup(String key, Duration timeout) {
            throw new UnsupportedOperationException("there is no job: key=" + key);
          }
        };
    Path folder = Path.of(System.getProperty("java.io.tmpdir"));
    return new TransportContext(
        0, 0, hosts, "127.0.0.1", folder, true, nobody, memory, Duration.ofSeconds(1));
  }
}
