package dev.lockstep.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.bench.PerfRow.Start;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class CalmRoundsTest {
  private final List<Integer> rests = new ArrayList<>();
  private Start start = Start.COMMON;
  private int common = Integer.MAX_VALUE;
  private int timed;

  private double[] times(double[]... rounds) {
    Iterator<double[]> next = List.of(rounds).iterator();
    CalmRounds calm =
        new CalmRounds(
            () -> {
              start = common-- > 0 ? Start.COMMON : Start.BARRIER;
              return next.next();
            },
            () -> start,
            rests::add);
    double[] times = calm.time();
    timed = calm.timed();
    return times;
  }

  private static double[] round(double... times) {
    return times;
  }

  @Test
  void threeCalmRoundsAreEnoughAndTheirMediansCount() {
    assertThat(times(round(5, 9), round(6, 8), round(7, 10))).containsExactly(6, 9);
    assertThat(timed).isEqualTo(3);
    assertThat(rests).isEmpty();
  }

  @Test
  void aRoundInWhichOneTookMillisecondsIsTimedAgainAfterARest() {
    assertThat(times(round(5, 9), round(5, 4000), round(6, 8), round(7, 10))).containsExactly(6, 9);
    assertThat(timed).isEqualTo(4);
    assertThat(rests).containsExactly(1, 2);
  }

  @Test
  void whatWasDisturbedFromTheBeginningIsSeenByLaterRounds() {
    assertThat(times(round(3900, 4100), round(3800, 4000), round(5, 8), round(4, 9), round(5, 7)))
        .containsExactly(5, 8);
  }

  @Test
  void whereNothingGetsCalmTheCalmestRoundsCount() {
    double[][] rounds = new double[CalmRounds.MOST][];
    for (int i = 0; i < rounds.length; i++) {
      rounds[i] = round(10 << i, 10);
    }
    assertThat(times(rounds)).containsExactly(20, 10);
    assertThat(timed).isEqualTo(CalmRounds.MOST);
  }

  @Test
  void roundsThatBeganInAnotherWayDoNotCount() {
    common = 2;
    assertThat(times(round(1, 1), round(1, 1), round(5, 9), round(6, 8), round(7, 10)))
        .containsExactly(6, 9);
    assertThat(timed).isEqualTo(5);
  }
}
