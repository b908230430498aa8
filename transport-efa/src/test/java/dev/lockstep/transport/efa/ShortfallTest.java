package dev.lockstep.transport.efa;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ShortfallTest {
  private static final int MOST = 3;

  private final Shortfall shortfall = new Shortfall();

  private boolean isLost(long question, long position) {
    return shortfall.isLost(question, position, true, MOST);
  }

  @Test
  void answersToQuestionsThatWereOutBeforeAnAnswerCountOnce() {
    long first = shortfall.ask();
    long second = shortfall.ask();
    long third = shortfall.ask();
    assertThat(isLost(first, 7)).isFalse();
    assertThat(isLost(second, 7)).isFalse();
    assertThat(isLost(third, 7)).isFalse();
    assertThat(isLost(shortfall.ask(), 7)).isFalse();
    assertThat(isLost(shortfall.ask(), 7)).isTrue();
  }

  @Test
  void whateverComesBeginsTheCountAnew() {
    for (int position = 0; position < 2 * MOST; position++) {
      assertThat(isLost(shortfall.ask(), position)).isFalse();
    }
    assertThat(shortfall.isLost(shortfall.ask(), 2 * MOST - 1, false, MOST)).isFalse();
    assertThat(isLost(shortfall.ask(), 2 * MOST - 1)).isFalse();
    assertThat(isLost(shortfall.ask(), 2 * MOST - 1)).isFalse();
    assertThat(isLost(shortfall.ask(), 2 * MOST - 1)).isTrue();
  }
}
