package dev.lockstep.collective.execute;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(10)
class IdleTest {
  private static final long ALONE_NANOS = 400;
  private static final long HANDED_OVER_NANOS = 2_500;

  @Test
  void ranksWithACoreEachSpin() {
    Idle idle = new Idle(true);

    assertThat(idle.isSpinning(0)).isTrue();
    assertThat(idle.isSpinning(100)).isTrue();
    assertThat(idle.isSpinning(1_000)).isFalse();
  }

  @Test
  void whoIsToBeParkedTakesAnInterruptAndGivesItBack() {
    Idle idle = new Idle(true);
    Thread.currentThread().interrupt();

    assertThat(idle.idle(100)).isFalse();
    assertThat(idle.idle(10_000)).isTrue();
    assertThat(Thread.currentThread().isInterrupted()).isFalse();
    assertThat(idle.idle(10_000)).isFalse();
    Idle.passOn(true);
    assertThat(Thread.interrupted()).isTrue();
  }

  @Test
  void ranksThatAreMoreThanCoresYieldAtOnce() {
    Idle idle = new Idle(false);

    assertThat(idle.isSpinning(0)).isFalse();
  }

  @Test
  void ranksThatAreBoundToCoresOfTheirOwnSpinThoughTheySeeOnlyThose() {
    Idle idle = new Idle(false);

    for (int i = 0; i < 1_000; i++) {
      idle.yielded(ALONE_NANOS);
    }

    assertThat(idle.isSpinning(0)).isTrue();
  }

  @Test
  void aRankThatHandsItsCoreOverYieldsAtOnceNextTime() {
    Idle idle = new Idle(true);

    idle.yielded(ALONE_NANOS);
    assertThat(idle.isSpinning(0)).isTrue();

    idle.yielded(HANDED_OVER_NANOS);
    assertThat(idle.isSpinning(0)).isFalse();
  }

  @Test
  void aRankWhoseYieldTookMillisecondsLooksAtClocksAtOnce() {
    Idle idle = new Idle(true);
    assertThat(idle.isTimeToCheck(1)).isFalse();

    idle.yielded(3_000_000);
    assertThat(idle.isTimeToCheck(1)).isTrue();

    idle.yielded(HANDED_OVER_NANOS);
    assertThat(idle.isTimeToCheck(1)).isFalse();
  }

  @Test
  void aRankThatHasHandedItsCoreOverTimesOnlySomeOfItsNextYields() {
    Idle idle = new Idle(true);
    assertThat(idle.isTimed()).isTrue();

    idle.yielded(HANDED_OVER_NANOS);
    assertThat(idle.isTimed()).isFalse();

    for (int i = 0; i < 16; i++) {
      idle.yielded();
    }
    assertThat(idle.isTimed()).isTrue();
    assertThat(idle.isShared()).isTrue();
  }

  @Test
  void aRankBesideOneThatComputesTimesEveryYield() {
    Idle idle = new Idle(true);

    idle.yielded(3_000_000);

    assertThat(idle.isTimed()).isTrue();
  }

  @Test
  void aRankThatIsAloneOnItsCoreAgainSpinsAgain() {
    Idle idle = new Idle(true);
    idle.yielded(HANDED_OVER_NANOS);

    for (int i = 0; i < 1_000; i++) {
      idle.yielded(ALONE_NANOS);
    }

    assertThat(idle.isSpinning(0)).isTrue();
  }
}
