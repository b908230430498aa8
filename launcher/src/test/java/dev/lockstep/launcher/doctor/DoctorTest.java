package dev.lockstep.launcher.doctor;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
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

  @Test
  void writesSizesAsPeopleReadThem() {
    assertThat(ProcFiles.size(512)).isEqualTo("512 B");
    assertThat(ProcFiles.size(8L << 20)).isEqualTo("8.0 MiB");
    assertThat(ProcFiles.size(25_276_514_304L)).isEqualTo("23.5 GiB");
  }
}
