package dev.lockstep.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.process.JavaCommand;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// What users see of a command whose standard output takes nothing more.
@Timeout(60)
final class StandardOutputTest {
  private record Ended(int code, String errors) {}

  /// Starts `lockstep --help` where a word comes from its standard input.
  private static ProcessBuilder helpOnceTold() {
    List<String> command = new ArrayList<>(List.of("sh", "-c", "read go; exec \"$@\"", "sh"));
    command.addAll(
        JavaCommand.of(
            List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
            Main.class.getName(),
            List.of("--help")));
    return new ProcessBuilder(command);
  }

  private static Ended tell(Process process) throws IOException, InterruptedException {
    try (OutputStream words = process.getOutputStream()) {
      words.write("go\n".getBytes(StandardCharsets.US_ASCII));
    }
    String errors = new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor(30, TimeUnit.SECONDS)).isTrue();
    return new Ended(process.exitValue(), errors);
  }

  @Test
  void aPipeWhoseReaderHasLeftEndsTheCommandQuietly() throws Exception {
    Process process = helpOnceTold().start();
    process.getInputStream().close();
    assertThat(tell(process)).isEqualTo(new Ended(141, ""));
  }

  @Test
  void aFullDiskIsTold() throws Exception {
    Process process = helpOnceTold().redirectOutput(new File("/dev/full")).start();
    Ended ended = tell(process);
    assertThat(ended.code()).isEqualTo(1);
    assertThat(ended.errors()).contains("results could not be written to standard output");
  }
}
