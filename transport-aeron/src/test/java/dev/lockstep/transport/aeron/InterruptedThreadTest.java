package dev.lockstep.transport.aeron;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Whoever waits moves the rank's driver, and may be interrupted at any moment.
@Timeout(60)
final class InterruptedThreadTest {
  private static final int COMMUNICATOR = 1;
  private static final int MESSAGES = 200;

  @TempDir private Path directory;

  @Test
  void interruptingWhoeverWaitsLeavesTheDriverAtWork() throws InterruptedException {
    try (TransportHarness ranks = TransportHarness.open(new AeronUdpProvider(), 2, directory)) {
      TransportHarness.Pair there = ranks.link(0, 1, COMMUNICATOR);
      TransportHarness.Pair back = ranks.link(1, 0, COMMUNICATOR);
      Thread waiting = Thread.currentThread();
      AtomicBoolean done = new AtomicBoolean();
      Thread interrupting =
          Thread.ofPlatform()
              .daemon()
              .start(
                  () -> {
                    while (!done.get()) {
                      waiting.interrupt();
                    }
                  });
      try {
        for (int i = 0; i < MESSAGES; i++) {
          ranks.deliver(i % 2 == 0 ? there : back, COMMUNICATOR, i, 100 * i);
        }
      } finally {
        done.set(true);
        while (interrupting.isAlive()) {
          Thread.onSpinWait();
        }
        assertThat(Thread.interrupted()).isTrue();
      }
    }
  }

  @Test
  void anInterruptedThreadClosesTheTransportAndStaysInterrupted() {
    try (TransportHarness ranks = TransportHarness.open(new AeronUdpProvider(), 2, directory)) {
      ranks.exchange(2, 1000);
      Thread.currentThread().interrupt();
      ranks.transport(0).close();
      assertThat(Thread.interrupted()).isTrue();
      assertThat(directory).isDirectoryNotContaining("glob:**/aeron-0-*");
    }
  }
}
