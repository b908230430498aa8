package dev.lockstep.launcher.doctor;

import dev.lockstep.device.DeviceProvider;
import dev.lockstep.launcher.doctor.Finding.Verdict;
import dev.lockstep.memory.LockedMemory;
import dev.lockstep.transport.TransportOrder;
import dev.lockstep.transport.TransportProvider;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/// Looks at this machine and at what is installed, and says what training finds here.
public final class Doctor {
  private final List<String> jobs;
  private final List<TransportProvider> transports;
  private final Optional<LockedMemory> locked;

  /// Makes a doctor.
  ///
  /// @param jobs names of the jobs that are installed
  public Doctor(List<String> jobs) {
    this(jobs, TransportOrder.installed().values(), LockedMemory.find());
  }

  /// Makes a doctor of another machine.
  ///
  /// @param transports in the order in which a job tries them
  /// @param locked how much memory may be locked, empty if unknown
  Doctor(
      List<String> jobs, Collection<TransportProvider> transports, Optional<LockedMemory> locked) {
    this.jobs = List.copyOf(jobs);
    this.transports = List.copyOf(transports);
    this.locked = locked;
  }

  /// Prints one line per finding and returns whether training can work here.
  public boolean report(PrintStream out) {
    List<Finding> findings = findings();
    int width = findings.stream().mapToInt(finding -> finding.name().length()).max().orElse(0);
    for (Finding finding : findings) {
      out.printf(
          "%-" + width + "s  %-7s  %s%n",
          finding.name(),
          finding.verdict().word(),
          finding.detail());
    }
    return findings.stream().noneMatch(finding -> finding.verdict() == Verdict.NEEDED);
  }

  private List<Finding> findings() {
    List<Finding> findings = new ArrayList<>(new Machine().findings());
    findings.addAll(new SharedMemory().findings());
    Transports found = new Transports(transports);
    findings.add(lockedMemory(found.pinning()));
    findings.addAll(
        orNeeded(
            found.findings(), "transports", "none works here, so ranks cannot train together"));
    findings.addAll(devices());
    findings.add(
        jobs.isEmpty()
            ? Finding.needed(
                "jobs", "none is installed (add lockstep-examples or a module of your own)")
            : Finding.ok("jobs", String.join(", ", jobs)));
    return findings;
  }

  /// Returns how much memory may be kept from being paged out.
  ///
  /// @param pinning name of the transport that is there and needs it, empty for none
  private Finding lockedMemory(String pinning) {
    String name = "locked memory";
    if (locked.isEmpty() || locked.get().isUnlimited()) {
      return Finding.ok(name, locked.isEmpty() ? "unknown" : "unlimited");
    }
    String size = ProcFiles.size(locked.get().bytes());
    if (pinning.isEmpty()) {
      return Finding.ok(
          name, size + " (network cards that read memory need more: ulimit -l unlimited)");
    }
    return locked.get().isTooLittle()
        ? Finding.absent(
            name,
            "%s is too little for %s, which copies what it cannot lock or does not open at all (%s)"
                .formatted(size, pinning, LockedMemory.REMEDY))
        : Finding.ok(
            name,
            "%s: %s copies what exceeds it (%s)".formatted(size, pinning, LockedMemory.REMEDY));
  }

  private static List<Finding> devices() {
    List<Finding> found =
        DeviceProvider.installed().stream()
            .sorted(Comparator.comparing(DeviceProvider::name))
            .map(provider -> Finding.of("device " + provider.name(), provider.probe()))
            .toList();
    return orNeeded(found, "devices", "none works here, so nothing can be computed");
  }

  private static List<Finding> orNeeded(List<Finding> found, String name, String sentence) {
    if (found.stream().anyMatch(finding -> finding.verdict() == Verdict.OK)) {
      return found;
    }
    List<Finding> all = new ArrayList<>(found);
    all.add(Finding.needed(name, sentence));
    return all;
  }
}
