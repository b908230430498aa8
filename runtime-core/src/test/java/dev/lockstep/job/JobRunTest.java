package dev.lockstep.job;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// What a rank's work throws is heard by all ranks.
@Timeout(20)
class JobRunTest {
  private static final Executor THREADS = task -> Thread.ofVirtual().start(task);
  private static final Duration LONG = Duration.ofMinutes(2);

  @TempDir private Path temp;

  @Test
  void workThatThrowsEndsTheOtherRanksWithItsWords() {
    try (StoreServer store =
        StoreServer.start("127.0.0.1", 0, Ranks.TOKEN.getBytes(UTF_8), 2, Duration.ofSeconds(8))) {
      JobConfig first = config(store, 0);
      JobConfig second = config(store, 1);
      CompletableFuture<Void> throwing =
          CompletableFuture.runAsync(
              () ->
                  Job.run(
                      first,
                      _ -> {
                        throw new ArithmeticException("boom");
                      }),
              THREADS);
      CompletableFuture<Void> waiting =
          CompletableFuture.runAsync(
              () -> Job.run(second, job -> job.store().get("never", LONG)), THREADS);
      assertThatThrownBy(throwing::join)
          .isInstanceOf(CompletionException.class)
          .hasCauseInstanceOf(ArithmeticException.class);
      assertThatThrownBy(waiting::join)
          .cause()
          .isInstanceOf(JobFailedException.class)
          .hasMessageContaining("boom")
          .hasMessageContaining("failedRank=0");
      assertThat(store.failure()).map(FailureRecord::kind).contains("ArithmeticException");
    }
  }

  @Test
  void checkedExceptionsOfTheWorkComeThrough() {
    JobConfig alone = JobConfig.of(Map.of());
    assertThatThrownBy(
            () ->
                Job.run(
                    alone,
                    _ -> {
                      throw new IOException("no disk");
                    }))
        .isInstanceOf(IOException.class)
        .hasMessage("no disk");
  }

  private JobConfig config(StoreServer store, int rank) {
    int ranks = store.options().worldSize();
    return Ranks.config(Ranks.ofAgent(temp, store.port(), rank, ranks));
  }
}
