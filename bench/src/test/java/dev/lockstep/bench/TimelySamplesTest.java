package dev.lockstep.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.PreparedCollective;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class TimelySamplesTest {
  private static final double[] ON_TIME = {5, 5, 5, 5, 5};

  private final List<Integer> tried = new ArrayList<>();
  private int postponed;

  /// Times one operation of which this rank begins some late, as often as is said for each.
  private double[] timed(int[] lateTimes, double... others) {
    int[] left = lateTimes.clone();
    WarmUp.Trial trial =
        (_, number) -> {
          tried.add(number);
          return left[number]-- > 0 ? TimelySamples.LATE : 10 + number;
        };
    WarmUp.Slowest slowest =
        mine -> {
          for (int i = 0; i < mine.length; i++) {
            mine[i] = Math.max(mine[i], others[i]);
          }
        };
    double[][] nanos = {new double[lateTimes.length]};
    List<PreparedCollective> nothing = List.of(new WarmUpTest.Nothing());
    long repeated = new TimelySamples(slowest, () -> postponed++).time(nothing, trial, nanos);
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
    assertThat(postponed).isZero();
  }

  @Test
  void whereManyAreLateRanksGiveEachOtherMoreTime() {
    assertThat(timed(new int[] {1, 3, 1, 0, 0}, ON_TIME)).containsExactly(10, 11, 12, 13, 14);
    assertThat(tried).containsExactly(0, 1, 2, 3, 4, 0, 1, 2, 1, 1);
    assertThat(postponed).as("three of five, then the one that was left").isEqualTo(2);
  }
}
