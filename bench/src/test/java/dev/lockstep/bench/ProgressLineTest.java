package dev.lockstep.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class ProgressLineTest {
  /// What was printed, and when anything was.
  private static final class Screen extends ByteArrayOutputStream {
    final CountDownLatch flushed = new CountDownLatch(1);

    @Override
    public void flush() {
      if (size() > 0) {
        flushed.countDown();
      }
    }

    PrintStream stream() {
      return new PrintStream(this, false, StandardCharsets.US_ASCII);
    }

    String text() {
      return toString(StandardCharsets.US_ASCII);
    }
  }

  @Test
  void longWorkSaysWhatItIsAtAndLeavesNothingOnTheTerminal() throws InterruptedException {
    Screen screen = new Screen();
    try (ProgressLine line = new ProgressLine(screen.stream(), true, Duration.ZERO)) {
      line.says("counting");
      assertThat(screen.flushed.await(10, TimeUnit.SECONDS)).isTrue();
    }
    assertThat(screen.text())
        .contains("lockstep: ")
        .containsPattern(", \\d+ s")
        .endsWith("\r\033[K");
  }

  @Test
  void shortWorkSaysNothing() {
    Screen screen = new Screen();
    try (ProgressLine line = new ProgressLine(screen.stream(), true, Duration.ofMinutes(1))) {
      line.says("counting");
    }
    assertThat(screen.text()).isEmpty();
  }

  @Test
  void whereNobodyLooksNothingIsSaid() {
    Screen screen = new Screen();
    try (ProgressLine line = new ProgressLine(screen.stream(), false, Duration.ZERO)) {
      line.says("counting");
    }
    assertThat(screen.text()).isEmpty();
  }
}
