package dev.lockstep.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.job.FailureRecord;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
final class FailureWatchTest {
  private static final Duration SHORT = Duration.ofMillis(1);
  private static final Duration LONG = Duration.ofHours(1);
  private static final FailureRecord FAILURE = FailureRecord.ofExit(3, "node-1", "process ended");

  private final CompletableFuture<FailureRecord> end = new CompletableFuture<>();

  @Test
  void workThatDoesNotNoticeAFailureIsEnded() throws Exception {
    try (FailureWatch _ = FailureWatch.start(() -> Optional.of(FAILURE), SHORT, end::complete)) {
      assertThat(end.get(10, TimeUnit.SECONDS)).isEqualTo(FAILURE);
    }
  }

  @Test
  void workThatReturnsInTimeIsLeftAlone() throws Exception {
    CompletableFuture<Thread> asked = new CompletableFuture<>();
    FailureWatch watch =
        FailureWatch.start(
            () -> {
              asked.complete(Thread.currentThread());
              return Optional.of(FAILURE);
            },
            LONG,
            end::complete);
    Thread watching = asked.join();
    watch.close();
    watching.join();
    assertThat(end).isNotDone();
  }

  @Test
  void theWatchOfAJobThatDoesNotFailEndsWithTheWork() throws Exception {
    CompletableFuture<Thread> asked = new CompletableFuture<>();
    FailureWatch watch =
        FailureWatch.start(
            () -> {
              asked.complete(Thread.currentThread());
              return Optional.empty();
            },
            SHORT,
            end::complete);
    Thread watching = asked.join();
    watch.close();
    watching.join();
    assertThat(end).isNotDone();
  }
}
