package dev.lockstep.graph;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BlocksTest {
  @ParameterizedTest(name = "outer={0}, count={1}, extent={2}")
  @CsvSource({"1, 1, 7", "1, 4, 7", "3, 4, 24", "2, 3, 2", "5, 2, 0", "1, 4, 4096"})
  void coverTheInnerExtentOnceAndInOrder(long outer, int count, long extent) {
    Blocks blocks = new Blocks(outer, count);
    assertThat(blocks.start(0, extent)).isZero();
    assertThat(blocks.start(count, extent)).isEqualTo(extent / outer);
    for (int block = 0; block < count; block++) {
      long size = blocks.start(block + 1, extent) - blocks.start(block, extent);
      assertThat(size).isBetween(extent / outer / count, extent / outer / count + 1);
    }
  }

  @Test
  void halvesOfTheBlocksAreTheBlocksOfTheHalves() {
    Blocks whole = new Blocks(1, 4);
    Blocks half = new Blocks(1, 2);
    long extent = 24;
    for (int block = 0; block <= 2; block++) {
      assertThat(whole.start(block, extent)).isEqualTo(half.start(block, extent / 2));
    }
  }

  @Test
  void refuseAnExtentThatIsNoMultipleOfOuter() {
    assertThatThrownBy(() -> new Blocks(3, 2).check(8))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("extent=8, outer=3");
  }

  @ParameterizedTest
  @CsvSource({"0, 1", "1, 0", "-1, 2"})
  void refuseCountsBelowOne(long outer, int count) {
    assertThatThrownBy(() -> new Blocks(outer, count))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("outer=" + outer);
  }
}
