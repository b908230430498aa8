package dev.lockstep.launcher;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.deadline.Deadline;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
final class StopSignalTest {
  private static final Duration SHORT = Duration.ofMillis(1);
  private static final Duration LONG = Duration.ofHours(1);

  private final AtomicBoolean failed = new AtomicBoolean();
  private final StopSignal signal = new StopSignal(failed::get, SHORT, LONG);

  private CompletableFuture<Void> request() {
    CompletableFuture<Void> returned = CompletableFuture.runAsync(signal::request);
    Deadline.until(signal::isRequested);
    return returned;
  }

  @Test
  void workThatAsksHasItsTimeToSave() throws Exception {
    assertThat(signal.isRequested()).isFalse();
    CompletableFuture<Void> returned = request();
    assertThatThrownBy(() -> returned.get(100, TimeUnit.MILLISECONDS))
        .isInstanceOf(TimeoutException.class);
    signal.done();
    returned.join();
  }

  @Test
  void workThatNeverAskedIsNotWaitedFor() {
    signal.request();
    assertThat(signal.isRequested()).isTrue();
  }

  @Test
  void workOfAJobThatFailsIsNotWaitedFor() {
    assertThat(signal.isRequested()).isFalse();
    CompletableFuture<Void> returned = request();
    failed.set(true);
    returned.join();
  }
}
