package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import org.junit.jupiter.api.Test;

final class TrainerOptionsTest {
  @Test
  void moreThreadsThanAnyHostHasAreRefused() {
    assertThatThrownBy(() -> TrainerOptions.defaults().withThreads(100_000))
        .isInstanceOf(ConfigurationException.class)
        .hasMessage("too large: --threads 100000 (at most 1024)");
  }

  @Test
  void vectorsOfAWidthThatNoProcessorHasAreRefused() {
    assertThatThrownBy(() -> TrainerOptions.defaults().withVectorBits(100))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageStartingWith("there are no such vectors: --vector-bits 100 (");
  }
}
