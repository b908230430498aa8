package dev.lockstep.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class PhiloxTest {
  /** Known answers of the authors' library (Random123, kat_vectors, philox4x32 with 10 rounds). */
  @Test
  void agreesWithThePublishedVectors() {
    assertThat(Philox.bits(0, 0, 0)).isEqualTo(known(0x6627e8d5, 0xe169c58d));
    assertThat(Philox.bits(-1, -1, -1)).isEqualTo(known(0x408f276d, 0x41c83b0e));
    assertThat(Philox.bits(0x299f31d0_a4093822L, 0x03707344_13198a2eL, 0x85a308d3_243f6a88L))
        .isEqualTo(known(0xd16cfe09, 0x94fdcceb));
  }

  @Test
  void theSecondHalfOfABlockAgreesToo() {
    assertThat(Philox.moreBits(0, 0, 0)).isEqualTo(known(0xbc57ac4c, 0x9b00dbd8));
    assertThat(Philox.moreBits(0x299f31d0_a4093822L, 0x03707344_13198a2eL, 0x85a308d3_243f6a88L))
        .isEqualTo(known(0x5001e420, 0x24126ea1));
  }

  @Test
  void elementsAreWordsOfBlocksSixteenApart() {
    for (int i = 0; i < 200; i++) {
      long block = i / 64 * 16L + i % 16;
      long bits = i % 64 < 32 ? Philox.bits(9, 8, block) : Philox.moreBits(9, 8, block);
      long word = i % 32 < 16 ? bits & 0xFFFFFFFFL : bits >>> 32;
      assertThat(Philox.element(9, 8, i)).isEqualTo((word >>> 8) * 0x1.0p-24f);
    }
  }

  private static long known(int word0, int word1) {
    return (word0 & 0xFFFFFFFFL) | ((long) word1 << 32);
  }

  @Test
  void numbersBelowABoundStayBelowAndCoverIt() {
    Set<Long> seen = new HashSet<>();
    for (int i = 0; i < 1000; i++) {
      long number = Philox.below(7, 1, i, 13);
      assertThat(number).isBetween(0L, 12L);
      seen.add(number);
    }
    assertThat(seen).hasSize(13);
    assertThatThrownBy(() -> Philox.below(7, 1, 0, 0)).hasMessageContaining("bound=0");
  }

  @Test
  void normalNumbersHaveMeanZeroAndVarianceOne() {
    double sum = 0;
    double squares = 0;
    int count = 100_000;
    for (int i = 0; i < count; i++) {
      double x = Philox.normal(42, 3, i);
      sum += x;
      squares += x * x;
    }
    assertThat(sum / count).isCloseTo(0, within(0.01));
    assertThat(squares / count).isCloseTo(1, within(0.02));
  }

  @Test
  void seedStreamAndIndexEachMatter() {
    assertThat(
            Set.of(
                Philox.bits(1, 2, 3),
                Philox.bits(2, 2, 3),
                Philox.bits(1, 3, 3),
                Philox.bits(1, 2, 4)))
        .hasSize(4);
    assertThat(Philox.stream("wte")).isNotEqualTo(Philox.stream("wpe"));
    assertThat(Philox.uniform(1, 2, 3)).isBetween(0f, Math.nextDown(1f));
  }
}
