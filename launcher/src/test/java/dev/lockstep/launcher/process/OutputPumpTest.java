package dev.lockstep.launcher.process;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.deadline.Deadline;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PipedInputStream;
import java.io.PipedOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
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

  /// Whoever reads the console takes the first chunk when there is nobody left who waits.
  @Test
  void whatIsReadSlowlyIsNotLost() throws Exception {
    CountDownLatch reads = new CountDownLatch(1);
    OutputStream slow =
        new OutputStream() {
          @Override
          public void write(int letter) throws IOException {
            try {
              reads.await();
            } catch (InterruptedException e) {
              throw new IOException(e);
            }
            shown.write(letter);
          }
        };
    PrintStream terminal = new PrintStream(slow, true, StandardCharsets.UTF_8);
    OutputPump pump =
        OutputPump.start(
            "pump",
            new ByteArrayInputStream("the last word\n".getBytes(StandardCharsets.UTF_8)),
            new OutputPump.Target.Lines(new Console(terminal, terminal), "", false),
            null);
    CompletableFuture<Void> finished =
        CompletableFuture.runAsync(() -> pump.finish(Duration.ofMillis(1)));
    assertThatThrownBy(() -> finished.get(100, TimeUnit.MILLISECONDS))
        .isInstanceOf(TimeoutException.class);
    reads.countDown();
    finished.join();
    assertThat(shown.toString(StandardCharsets.UTF_8)).isEqualTo("the last word\n");
  }

  @Test
  void aStreamThatOthersHoldOpenIsNotWaitedFor() throws Exception {
    try (PipedOutputStream held = new PipedOutputStream();
        InputStream source = new PipedInputStream(held)) {
      OutputPump pump = OutputPump.start("pump", source, new OutputPump.Target.Live(console), null);
      held.write('.');
      held.flush();
      Deadline.until(() -> shown.size() == 1);
      pump.finish(Duration.ofMillis(1));
      assertThat(shown.toString(StandardCharsets.UTF_8)).isEqualTo(".");
    }
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
