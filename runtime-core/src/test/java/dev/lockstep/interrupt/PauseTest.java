package dev.lockstep.interrupt;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.deadline.Promise;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(10)
final class PauseTest {
  private static final long NANOS = 1_000_000;
  private static final long WAIT_NANOS = Duration.ofMillis(200).toNanos();

  private final ThreadMXBean threads = ManagementFactory.getThreadMXBean();

  @AfterEach
  void leaveTheThreadUninterrupted() {
    Thread.interrupted();
  }

  /// Waits and returns the thread's CPU time.
  private long cpuNanosOfWait() {
    long cpu = threads.getCurrentThreadCpuTime();
    long start = System.nanoTime();
    try (Pause pause = new Pause()) {
      while (System.nanoTime() - start < WAIT_NANOS) {
        pause.park(NANOS);
      }
    }
    return threads.getCurrentThreadCpuTime() - cpu;
  }

  @Test
  void anInterruptedThreadWaitsWithoutItsCore() throws Exception {
    cpuNanosOfWait(); // classes are loaded
    Promise.keptWithin(
        Duration.ofNanos(WAIT_NANOS / 4),
        () -> {
          Thread.currentThread().interrupt();
          long used = cpuNanosOfWait();
          assertThat(Thread.interrupted()).isTrue();
          return Duration.ofNanos(used);
        });
  }

  @Test
  void theInterruptIsKeptFromThePausesUntilTheWaitIsOver() {
    Thread.currentThread().interrupt();

    Pause pause = new Pause();
    pause.park(NANOS);
    assertThat(Thread.currentThread().isInterrupted()).isFalse();
    pause.park(NANOS);
    pause.close();
    assertThat(Thread.interrupted()).isTrue();
  }

  @Test
  void theNextWaitOwesNoInterruptOfTheLast() {
    Pause pause = new Pause();
    Thread.currentThread().interrupt();
    pause.park(NANOS);
    pause.close();
    assertThat(Thread.interrupted()).isTrue();

    pause.park(NANOS);
    pause.close();
    assertThat(Thread.currentThread().isInterrupted()).isFalse();
  }
}
