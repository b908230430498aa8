package dev.lockstep.graph;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.graph.SumTree.Subtree;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class SumTreeTest {
  @ParameterizedTest(name = "leaves={0}")
  @CsvSource({"2, 1", "3, 2", "4, 2", "5, 4", "7, 4", "8, 4", "9, 8", "1000, 512"})
  void leftBranchHoldsTheLargestPowerOfTwoBelow(int leaves, int left) {
    assertThat(SumTree.left(leaves)).isEqualTo(left);
  }

  @Test
  void aSingleLeafHasNoBranches() {
    assertThatThrownBy(() -> SumTree.left(1)).isInstanceOf(IllegalArgumentException.class);
  }

  @ParameterizedTest(name = "leaves={0}")
  @ValueSource(ints = {1, 2, 3, 5, 6, 8, 13})
  void coversEveryRangeInOrderByAlignedSubtrees(int leaves) {
    for (int from = 0; from <= leaves; from++) {
      for (int to = from; to <= leaves; to++) {
        int next = from;
        for (Subtree subtree : SumTree.cover(leaves, from, to)) {
          assertThat(subtree.first()).isEqualTo(next);
          assertThat(SumTree.cover(leaves, subtree.first(), subtree.end()))
              .containsExactly(subtree);
          next = subtree.end();
        }
        assertThat(next).isEqualTo(to);
      }
    }
  }

  @Test
  void coversWithAsFewAsPossible() {
    assertThat(SumTree.cover(8, 0, 8)).containsExactly(new Subtree(0, 8));
    assertThat(SumTree.cover(8, 1, 7))
        .containsExactly(
            new Subtree(1, 1), new Subtree(2, 2), new Subtree(4, 2), new Subtree(6, 1));
    assertThat(SumTree.cover(5, 3, 5)).containsExactly(new Subtree(3, 1), new Subtree(4, 1));
    assertThat(SumTree.cover(5, 2, 2)).isEqualTo(List.of());
  }

  @Test
  void refusesARangeOutsideTheTree() {
    assertThatThrownBy(() -> SumTree.cover(4, 2, 5))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("leaves=4");
  }
}
