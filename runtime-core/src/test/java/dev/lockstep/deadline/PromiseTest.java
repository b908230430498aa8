package dev.lockstep.deadline;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Queue;
import org.junit.jupiter.api.Test;

final class PromiseTest {
  private static final Duration MOST = Duration.ofSeconds(2);

  private static Queue<Duration> seconds(Integer... seconds) {
    return new ArrayDeque<>(List.of(seconds).stream().map(Duration::ofSeconds).toList());
  }

  @Test
  void isKeptByOneOfThreeTries() throws Exception {
    Queue<Duration> tries = seconds(9, 2, 1, 1);
    Promise.keptWithin(MOST, tries::remove);
    assertThat(tries).hasSize(1);
  }

  @Test
  void isBrokenByThree() {
    Queue<Duration> tries = seconds(2, 3, 2, 1);
    assertThatThrownBy(() -> Promise.keptWithin(MOST, tries::remove))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining("tries=[PT2S, PT3S, PT2S]");
  }
}
