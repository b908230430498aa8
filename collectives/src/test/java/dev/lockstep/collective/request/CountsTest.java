package dev.lockstep.collective.request;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(10)
final class CountsTest {
  private static final long MOST = Long.MAX_VALUE;

  @Test
  void asManyElementsAsALongCountsAreAllowed() {
    assertThat(Counts.each(7, MOST / 7).total()).isEqualTo(MOST / 7 * 7);
    assertThat(Counts.of(List.of(MOST - 3, 1L, 2L)).total()).isEqualTo(MOST);
  }

  @Test
  void moreElementsInSumAreRefusedByTheirCounts() {
    assertThatThrownBy(() -> Counts.each(3, MOST / 2))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("too many elements")
        .hasMessageContaining("parts=3, elementsOfEach=" + MOST / 2);
    assertThatThrownBy(() -> Counts.of(List.of(1L, MOST - 3, 3L)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("too many elements")
        .hasMessageContaining("part=2, count=3, elementsBefore=" + (MOST - 2));
    assertThatThrownBy(() -> Counts.of(List.of(MOST, MOST)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("part=1, count=" + MOST);
  }
}
