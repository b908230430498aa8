package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(10)
class CoreMatesTest {
  private final AtomicInteger taken = new AtomicInteger();
  private final AtomicInteger rested = new AtomicInteger();

  /// Takes the times again as long as ranks have not rested so often.
  private double[] apart(int restsThatPart) {
    double[][] times = {{1_200, 6_000}, {500, 7_000}, {600, 5_000}};
    return CoreMates.apart(
        () -> times[taken.getAndIncrement()].clone(),
        () -> rested.get() < restsThatPart,
        rested::incrementAndGet);
  }

  @Test
  void ranksApartAreTimedOnce() {
    assertThat(apart(0)).containsExactly(1_200, 6_000);
    assertThat(rested).hasValue(0);
  }

  @Test
  void whatRanksTimedOnOneCoreIsTimedAgainAfterARest() {
    assertThat(apart(1)).containsExactly(500, 6_000);
    assertThat(rested).hasValue(1);
  }

  @Test
  void ranksThatNothingPartsAreTimedThreeTimes() {
    assertThat(apart(100)).containsExactly(500, 5_000);
    assertThat(taken).hasValue(3);
  }

  @Test
  void ranksMeetOnOneCoreIfTheSystemSaysSo() {
    assertThat(CoreMates.meet(new double[] {1, 2, 3})).isFalse();
    assertThat(CoreMates.meet(new double[] {1, 2, 1})).isTrue();
    assertThat(CoreMates.meet(new double[] {0, 2, 0})).isFalse();
  }
}
