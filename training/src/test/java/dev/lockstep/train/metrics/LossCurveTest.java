package dev.lockstep.train.metrics;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

final class LossCurveTest {
  private static String curve(float from, float to) {
    return new LossCurve(
            List.of(new LossCurve.Point(1, from), new LossCurve.Point(2, to)), List.of())
        .svg();
  }

  @Test
  void ticksHaveTheDigitsThatTellThemApart() {
    assertThat(curve(1f, 1.0006f)).contains(">1.0002<", ">1.0004<");
    assertThat(curve(1f, 1.2f)).contains(">1.05<", ">1.10<").doesNotContain(">1.050<");
    assertThat(curve(1f, 5f)).contains(">2<", ">3<");
  }

  @Test
  void aLossThatNeverChangesIsDrawn() {
    assertThat(curve(0f, 0f)).doesNotContain("NaN", "Infinity");
  }
}
