package dev.lockstep.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.PreparedCollective;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class TimelySamplesTest {
  private static final double[] ON_TIME = {5, 5, 5, 5, 5};

  /// A start that can be put off a few times.
  private static final class PutOff implements TimelySamples.Start {
    private static final int MOST = 2;
    private int postponed;
    private int rests;
    private boolean isCommon = true;

    @Override
    public boolean isCommon() {
      return isCommon;
    }

    @Override
    public boolean later() {
      return postponed++ < MOST;
    }

    @Override
    public void rest() {
      rests++;
    }

    @Override
    public void atBarrier() {
      isCommon = false;
    }
  }

  private final List<Integer> tried = new ArrayList<>();
  private final PutOff start = new PutOff();

  /// Times one operation of which this rank begins some late, as often as is said for each.
  private double[] timed(int[] lateTimes, double... others) {
    int[] left = lateTimes.clone();
    WarmUp.Trial trial =
        (_, number) -> {
          tried.add(number);
          return start.isCommon && left[number]-- > 0 ? TimelySamples.LATE : 10 + number;
        };
    WarmUp.Slowest slowest =
        mine -> {
          for (int i = 0; i < mine.length; i++) {
            mine[i] = Math.max(mine[i], others[i]);
          }
        };
    double[][] nanos = {new double[lateTimes.length]};
    List<PreparedCollective> nothing = List.of(new WarmUpTest.Nothing());
    long repeated = new TimelySamples(slowest, start).time(nothing, trial, nanos);
    assertThat(repeated).isEqualTo(tried.size() - lateTimes.length);
    return nanos[0];
  }

  @Test
  void whatEveryRankBeganOnTimeStands() {
    assertThat(timed(new int[5], 5, 50, 5, 5, 5)).containsExactly(10, 50, 12, 13, 14);
    assertThat(tried).containsExactly(0, 1, 2, 3, 4);
  }

  @Test
  void whatARankBeganLateIsTimedAgainAndNothingElse() {
    assertThat(timed(new int[] {0, 1, 0, 0, 0}, ON_TIME)).containsExactly(10, 11, 12, 13, 14);
    assertThat(tried).containsExactly(0, 1, 2, 3, 4, 1);
    assertThat(start.postponed).isZero();
  }

  @Test
  void whereManyAreLateRanksGiveEachOtherMoreTime() {
    assertThat(timed(new int[] {1, 3, 1, 0, 0}, ON_TIME)).containsExactly(10, 11, 12, 13, 14);
    assertThat(tried).containsExactly(0, 1, 2, 3, 4, 0, 1, 2, 1, 1);
    assertThat(start.postponed).as("three of five, then the one that was left").isEqualTo(2);
    assertThat(start.isCommon).isTrue();
  }

  @Test
  void whereManyAreLateWhateverTimeTheyHaveAllAreTimedAgainFromABarrier() {
    int always = Integer.MAX_VALUE;
    int[] late = {0, 0, 0, 0, always, always, always, always};
    assertThat(timed(late, new double[8])).containsExactly(10, 11, 12, 13, 14, 15, 16, 17);
    assertThat(start.isCommon).isFalse();
    // Four of eight are late, again with more time twice, twice more with as much, and thrice after
    // each of four rests.
    assertThat(start.rests).isEqualTo(4);
    assertThat(tried).hasSize(8 + 16 * 4 + 8);
  }

  @Test
  void manyThatStayLateCostFewTrials() {
    int[] late = new int[20_000];
    Arrays.fill(late, Integer.MAX_VALUE);
    assertThat(timed(late, new double[late.length])).hasSize(20_000);
    assertThat(start.isCommon).isFalse();
    assertThat(start.rests).isEqualTo(4);
    // Eight show whether more time, twice, or each of four rests has helped.
    assertThat(tried).hasSize(20_000 + 8 * (2 + 4) + 20_000);
  }

  @Test
  void whereAChangeHelpsAllThatWereLateAreTimedAgain() {
    int[] late = new int[100];
    Arrays.fill(late, 1);
    assertThat(timed(late, new double[100])).doesNotContain(TimelySamples.LATE);
    assertThat(start.isCommon).isTrue();
    assertThat(start.rests).isZero();
    assertThat(tried).hasSize(200);
  }

  @Test
  void halfOfManyThatAreLateWithTheMostTimeMakeRanksRestAtOnce() {
    start.postponed = PutOff.MOST;
    int[] late = {1, 1, 1, 1, 0, 0, 0, 0};
    assertThat(timed(late, new double[8])).containsExactly(10, 11, 12, 13, 14, 15, 16, 17);
    assertThat(start.rests).isEqualTo(1);
    assertThat(start.isCommon).isTrue();
    assertThat(tried).hasSize(8 + 4);
  }

  @Test
  void oneThatIsLeftIsTriedSeveralTimesBeforeRanksGiveUp() {
    assertThat(timed(new int[] {0, 4, 0, 0, 0}, ON_TIME)).containsExactly(10, 11, 12, 13, 14);
    assertThat(start.isCommon).isTrue();
  }

  @Test
  void oneThatStaysLateIsNotTriedForEver() {
    int always = Integer.MAX_VALUE;
    assertThat(timed(new int[] {0, always, 0, 0, 0}, ON_TIME)).containsExactly(10, 11, 12, 13, 14);
    assertThat(start.isCommon).isFalse();
  }

  @Test
  void whereRanksBeginAtABarrierAnywayNothingIsRepeated() {
    start.isCommon = false;
    assertThat(timed(new int[] {9, 9, 9, 9, 9}, 5, 50, 5, 5, 5))
        .containsExactly(10, 50, 12, 13, 14);
    assertThat(tried).containsExactly(0, 1, 2, 3, 4);
  }
}
