package dev.lockstep.launcher.process;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

final class ConsoleTest {
  private final ByteArrayOutputStream terminal = new ByteArrayOutputStream();
  private final PrintStream stream = new PrintStream(terminal, true, StandardCharsets.UTF_8);
  private final Console console = new Console(stream, stream);

  private void pass(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    console.pass(bytes, bytes.length);
  }

  private String terminal() {
    return terminal.toString(StandardCharsets.UTF_8);
  }

  @Test
  void putsOtherLinesAboveALiveLine() {
    pass("\rstep 1\rstep 2");
    console.err("[rank1]: ", "careful".getBytes(StandardCharsets.UTF_8));
    assertThat(terminal()).isEqualTo("\rstep 1\rstep 2\r\033[K[rank1]: careful\nstep 2");
  }

  @Test
  void leavesEndedLinesAlone() {
    pass("done\n");
    console.say("lockstep: stopped");
    assertThat(terminal()).isEqualTo("done\nlockstep: stopped\n");
  }

  @Test
  void endsALiveLineThatNobodyOverwritesAnyMore() {
    pass("\rstep 2");
    console.endLive();
    console.say("lockstep: rank 0 of 2 failed");
    assertThat(terminal()).isEqualTo("\rstep 2\nlockstep: rank 0 of 2 failed\n");
  }
}
