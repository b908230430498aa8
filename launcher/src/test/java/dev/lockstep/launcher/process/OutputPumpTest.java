package dev.lockstep.launcher.process;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(10)
final class OutputPumpTest {
  private final ByteArrayOutputStream shown = new ByteArrayOutputStream();
  private final PrintStream stream = new PrintStream(shown, true, StandardCharsets.UTF_8);
  private final Console console = new Console(stream, stream);

  private String pump(String text, boolean error, @Nullable ByteArrayOutputStream log) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    OutputPump.start(
            "pump",
            new ByteArrayInputStream(bytes),
            new OutputPump.Target.Lines(console, "[rank3]: ", error),
            log)
        .finish(Duration.ofSeconds(10));
    return shown.toString(StandardCharsets.UTF_8);
  }

  @Test
  void prefixesEveryLineAndTheLastOneWithoutANewline() {
    assertThat(pump("one\r\n\ntwo", false, null))
        .isEqualTo("[rank3]: one\n[rank3]: \n[rank3]: two\n");
  }

  @Test
  void keepsLettersOfSeveralBytesWhole() {
    String line = "ä".repeat(10_000);
    assertThat(pump(line + "\n", false, null)).isEqualTo("[rank3]: " + line + "\n");
  }

  @Test
  void leavesOutWhatEveryJvmWithTheVectorApiSays() {
    ByteArrayOutputStream log = new ByteArrayOutputStream();
    String text = "WARNING: Using incubator modules: jdk.incubator.vector\nWARNING: careful\n";
    assertThat(pump(text, true, log)).isEqualTo("[rank3]: WARNING: careful\n");
    assertThat(log.toString(StandardCharsets.UTF_8)).isEqualTo(text);
  }
}
