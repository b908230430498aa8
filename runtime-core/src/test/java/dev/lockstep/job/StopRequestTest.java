package dev.lockstep.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.deadline.Deadline;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
final class StopRequestTest {
  private static final Duration LONG = Duration.ofSeconds(Long.MAX_VALUE);

  private final AtomicBoolean ended = new AtomicBoolean();

  private StopRequest waiting(Duration patience) {
    return new StopRequest(patience, () -> ended.set(true));
  }

  @Test
  void theProcessEndsOnceTheRankHasLeft() {
    StopRequest stop = waiting(LONG);
    assertThat(stop.isRequested()).isFalse();
    CompletableFuture<Void> asked = CompletableFuture.runAsync(stop::request);
    Deadline.until(stop::isRequested);
    assertThat(ended).isFalse();
    stop.left();
    asked.join();
    assertThat(ended).isTrue();
  }

  @Test
  void workThatDoesNotLeaveHasItsTimeAndNoMore() {
    StopRequest stop = waiting(Duration.ofMillis(1));
    stop.request();
    assertThat(stop.isRequested()).isTrue();
    assertThat(ended).isTrue();
  }

  @Test
  void aRankHasOneSignalWhileItIsInTheJob() {
    Job job = Job.inProcess(1, JobConfig.of(Map.of())).getFirst();
    try (job) {
      assertThatThrownBy(() -> job.stopSignal(Duration.ZERO))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("time to stop is not positive: rank=0, patience=PT0S");
      assertThat(job.stopSignal(LONG).getAsBoolean()).isFalse();
      assertThatThrownBy(() -> job.stopSignal(LONG)).isInstanceOf(IllegalStateException.class);
    }
    Job other = Job.inProcess(1, JobConfig.of(Map.of())).getFirst();
    other.close();
    assertThatThrownBy(() -> other.stopSignal(LONG))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageEndingWith("has left the job: rank=0");
  }
}
