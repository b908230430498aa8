package dev.lockstep.launcher.doctor;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.Availability;
import dev.lockstep.memory.LockedMemory;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportProvider;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
final class DoctorTest {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();

  private boolean report(List<String> jobs) {
    return new Doctor(jobs).report(new PrintStream(out, true, StandardCharsets.UTF_8));
  }

  @Test
  void reportsEachThingInOneAlignedLine() {
    report(List.of("gpt", "other"));
    List<String> lines = out.toString(StandardCharsets.UTF_8).lines().toList();
    assertThat(lines)
        .anyMatch(line -> line.matches("JDK +ok +.*25.*"))
        .anyMatch(line -> line.matches("processor +ok +\\d+ cores, .*"))
        .anyMatch(line -> line.matches("vectors +(ok|missing) .*"))
        .anyMatch(line -> line.matches("memory +ok +.* available"))
        .anyMatch(line -> line.matches("/dev/shm +(ok|missing) .*"))
        .anyMatch(line -> line.matches("locked memory +ok .*"))
        .anyMatch(line -> line.matches("memory files +(ok|missing) .*"))
        .anyMatch(line -> line.matches("transport shm +(ok|missing) .*"))
        .anyMatch(line -> line.matches("transport choice +ok +a job on this host would take: .*"))
        .anyMatch(line -> line.matches("jobs +ok +gpt, other"));
    int column = lines.getFirst().indexOf(" ok ");
    assertThat(lines)
        .allMatch(line -> line.startsWith(" ok ", column) || line.startsWith(" missing ", column));
  }

  @Test
  void saysThatNothingCanBeTrainedWithoutAJob() {
    assertThat(report(List.of())).isFalse();
    assertThat(out.toString(StandardCharsets.UTF_8)).containsPattern("jobs +missing +none");
  }

  /// A transport that is there or not, on one host or on several.
  private record Stand(String name, boolean isThere, boolean spansHosts)
      implements TransportProvider {
    @Override
    public Availability probe() {
      return isThere
          ? new Availability.Available(1, "a stand-in")
          : new Availability.Unavailable("no such card");
    }

    @Override
    public Availability reaches(TransportContext context) {
      return context.isOneHost() || spansHosts ? probe() : new Availability.Unavailable("too far");
    }

    @Override
    public Transport open(TransportContext context) {
      throw new UnsupportedOperationException("nothing is opened by who looks");
    }
  }

  /// Returns the line of a machine that has these transports.
  ///
  /// @param locked limit of locked memory
  private String line(String name, String locked, TransportProvider... transports) {
    out.reset();
    long bytes = locked.equals("unlimited") ? Long.MAX_VALUE : Long.parseLong(locked);
    assertThat(
            new Doctor(List.of("gpt"), List.of(transports), Optional.of(new LockedMemory(bytes)))
                .report(new PrintStream(out, true, StandardCharsets.UTF_8)))
        .isEqualTo(Arrays.stream(transports).anyMatch(found -> found.probe().isAvailable()));
    return out.toString(StandardCharsets.UTF_8)
        .lines()
        .filter(line -> line.startsWith(name))
        .map(line -> line.substring(name.length()).strip())
        .collect(Collectors.joining("\n"));
  }

  @Test
  void saysWhatAJobWouldTakeThatNamesNoTransport() {
    String line = "transport choice";
    var threads = new Stand("in-process", true, false);
    var shm = new Stand("shm", true, false);
    var udp = new Stand("aeron-udp", true, true);
    assertThat(line(line, "9", threads, shm, new Stand("efa", false, true), udp))
        .isEqualTo(
            "ok       a job on this host would take: shm; between hosts: aeron-udp (shm: for one"
                + " host only; efa: missing), and shm within those of several ranks");
    assertThat(line(line, "9", new Stand("shm", false, false), new Stand("efa", true, true), udp))
        .isEqualTo(
            "ok       a job on this host would take: efa (shm: missing); between hosts: efa (shm:"
                + " missing)");
    assertThat(line(line, "9", threads, shm))
        .endsWith("would take: shm; between hosts: none (shm: for one host only)");
    assertThat(line(line, "9", new Stand("shm", false, false))).isEmpty();
  }

  @Test
  void judgesLockedMemoryByWhatNeedsIt() {
    var efa = new Stand("efa", true, true);
    var shm = new Stand("shm", true, false);
    assertThat(line("locked memory", "8388608", efa))
        .matches(
            "missing +8.0 MiB is too little for efa, .* \\(ulimit -l unlimited, .*limits.conf\\)");
    assertThat(line("locked memory", "1073741824", efa)).matches("ok +1.0 GiB: efa copies what .*");
    assertThat(line("locked memory", "unlimited", efa)).matches("ok +unlimited");
    assertThat(line("locked memory", "8388608", shm, new Stand("efa", false, true)))
        .matches("ok +8.0 MiB .*");
  }

  @Test
  void writesSizesAsPeopleReadThem() {
    assertThat(ProcFiles.size(512)).isEqualTo("512 B");
    assertThat(ProcFiles.size(8L << 20)).isEqualTo("8.0 MiB");
    assertThat(ProcFiles.size(25_276_514_304L)).isEqualTo("23.5 GiB");
  }
}
