package dev.lockstep.job;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Whoever interrupts a rank's thread ends none of its waits at the store.
@Timeout(20)
class InterruptedStoreTest {
  private static final Duration LONG = Duration.ofMinutes(2);

  @TempDir private Path temp;

  @Test
  void anInterruptedRankTalksToTheStoreAndLeavesInterrupted() {
    try (StoreServer store =
        StoreServer.start("127.0.0.1", 0, Ranks.TOKEN.getBytes(UTF_8), 1, Duration.ofSeconds(8))) {
      try (Job job = Job.join(Ranks.config(Ranks.ofAgent(temp, store.port(), 0, 1)))) {
        Thread.currentThread().interrupt();
        job.store().set("key", new byte[] {7});
        assertThat(job.store().get("key", LONG)).containsExactly(7);
        assertThat(job.store().add("n", 2)).isEqualTo(2);
        job.store().barrier("b", 1, LONG);
        job.store().delete("key");
        assertThat(job.store().peek("key")).isEmpty();
      } finally {
        assertThat(Thread.interrupted()).isTrue();
      }
      assertThat(store.awaitFarewells(LONG)).isTrue();
      assertThat(store.failure()).isEmpty();
    }
  }
}
