package dev.lockstep.collective.plan;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.LongUnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(10)
class AgreedStartTest {
  private final List<String> barriers = new ArrayList<>();
  private final List<Long> proposals = new ArrayList<>();

  /// Returns the start of a rank whose partner, which can have a core, proposes so much later.
  private AgreedStart start(boolean mayHaveACore, long laterNanos) {
    LongUnaryOperator greatest =
        mine -> {
          if (mine <= 1) {
            return mine;
          }
          proposals.add(mine - System.nanoTime());
          return mine + laterNanos;
        };
    return new AgreedStart(() -> barriers.add("barrier"), greatest, mayHaveACore);
  }

  @Test
  void ranksWithoutACoreOfTheirOwnBeginAfterABarrier() {
    AgreedStart start = start(false, 0);
    assertThat(start.await()).isTrue();
    assertThat(start.agrees()).isFalse();
    assertThat(start.eachHasACore()).isFalse();
    assertThat(barriers).hasSize(1);
    assertThat(proposals).isEmpty();
  }

  @Test
  void nobodyBeginsBeforeTheLatestProposal() {
    long later = TimeUnit.MILLISECONDS.toNanos(3);
    AgreedStart start = start(true, later);
    long begin = System.nanoTime();
    var _ = start.await();
    assertThat(System.nanoTime() - begin).isGreaterThan(later);
    assertThat(barriers).isEmpty();
  }

  @Test
  void aTimeByAnotherClockIsNotWaitedFor() {
    assertThat(start(true, TimeUnit.HOURS.toNanos(1)).await()).isFalse();
  }

  @Test
  void lateRanksAreGivenMoreTimeUpToAMillisecond() {
    AgreedStart start = start(true, 0);
    int times = 0;
    while (start.later()) {
      times++;
    }
    assertThat(times).isEqualTo(7); // from 5 to 640 microseconds
    start.anew();
    assertThat(start.later()).isTrue();
  }

  @Test
  void whoGivesUpBeginsAfterABarrierUntilAnew() {
    AgreedStart start = start(true, 0);
    start.giveUp();
    assertThat(start.await()).isTrue();
    assertThat(barriers).hasSize(1);
    start.anew();
    assertThat(start.agrees()).isTrue();
  }
}
