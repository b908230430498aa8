package dev.lockstep.train.optim;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import org.junit.jupiter.api.Test;

class LearningRateTest {
  private static final LearningRate RATE = new LearningRate(1e-3f, 1e-4f, 100);

  @Test
  void risesInEqualStepsToThePeak() {
    assertThat(RATE.at(1, 1000)).isCloseTo(1e-5f, within(1e-11f));
    assertThat(RATE.at(50, 1000)).isCloseTo(5e-4f, within(1e-10f));
    assertThat(RATE.at(100, 1000)).isEqualTo(1e-3f);
  }

  @Test
  void fallsAlongHalfACosineToTheMinimumAtTheLastStep() {
    assertThat(RATE.at(550, 1000)).isCloseTo(5.5e-4f, within(1e-9f));
    assertThat(RATE.at(325, 1000)).isCloseTo(8.682e-4f, within(1e-7f));
    assertThat(RATE.at(1000, 1000)).isEqualTo(1e-4f);
  }

  @Test
  void followsTheCosineToTheLastBitOfAFloat() {
    LearningRate whole = new LearningRate(1, 0, 0);
    for (int step = 1; step <= 1000; step++) {
      double expected = (1 + StrictMath.cos(Math.PI * step / 1000)) / 2;
      assertThat(whole.at(step, 1000))
          .as("step %d", step)
          .isCloseTo((float) expected, within(Math.ulp((float) expected) + 1e-16f));
    }
  }

  @Test
  void needsNoWarmUp() {
    assertThat(new LearningRate(1, 0, 0).at(1, 1)).isEqualTo(0f);
    assertThat(LearningRate.of(1, 4).at(1, 4)).isGreaterThan(0.8f);
  }

  @Test
  void warmsUpAShortRunForATenthOfIt() {
    assertThat(LearningRate.of(1, 50).warmupSteps()).isEqualTo(5);
    assertThat(LearningRate.of(1, 2_000).warmupSteps()).isEqualTo(100);
  }
}
