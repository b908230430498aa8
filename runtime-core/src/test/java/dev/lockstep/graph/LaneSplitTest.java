package dev.lockstep.graph;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.graph.SumTree.Subtree;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LaneSplitTest {
  @ParameterizedTest(name = "lanes={0}, ranks={1}")
  @CsvSource({"1, 1", "4, 1", "4, 2", "4, 3", "5, 2", "5, 3", "8, 8", "13, 5"})
  void contiguousRangesDifferByOneLaneAtMost(int lanes, int ranks) {
    LaneSplit split = LaneSplit.contiguous(lanes, ranks);
    assertThat(split.ranks()).hasSize(ranks);
    int next = 0;
    for (int rank = 0; rank < ranks; rank++) {
      List<Subtree> held = split.ranks().get(rank);
      int size = held.stream().mapToInt(Subtree::size).sum();
      assertThat(size).isEqualTo(lanes / ranks + (rank < lanes % ranks ? 1 : 0));
      assertThat(held.getFirst().first()).isEqualTo(next);
      next = held.getLast().end();
    }
    assertThat(next).isEqualTo(lanes);
  }

  @Test
  void powersOfTwoHoldOneSubtreeEach() {
    assertThat(LaneSplit.contiguous(8, 4).ranks()).allSatisfy(held -> assertThat(held).hasSize(1));
    assertThat(LaneSplit.onePerRank(3).lanes()).isEqualTo(3);
  }

  @Test
  void refusesMoreRanksThanLanes() {
    assertThatThrownBy(() -> LaneSplit.contiguous(2, 3))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("ranks=3, lanes=2");
  }

  @Test
  void refusesLanesHeldTwiceOrByNobody() {
    Subtree first = new Subtree(0, 2);
    assertThatThrownBy(() -> new LaneSplit(4, List.of(List.of(first), List.of(first))))
        .hasMessageContaining("held twice: lane=0");
    assertThatThrownBy(() -> new LaneSplit(4, List.of(List.of(first))))
        .hasMessageContaining("held by no rank: lane=2");
  }

  @Test
  void refusesARangeThatIsNoSubtree() {
    List<List<Subtree>> ranks =
        List.of(List.of(new Subtree(0, 1)), List.of(new Subtree(1, 2), new Subtree(3, 1)));
    assertThatThrownBy(() -> new LaneSplit(4, ranks))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("not a subtree");
  }

  @Test
  void refusesSubtreesOfARankThatDoNotAscend() {
    List<Subtree> falling = List.of(new Subtree(2, 1), new Subtree(0, 1));
    List<Subtree> others = List.of(new Subtree(1, 1), new Subtree(3, 1));
    assertThatThrownBy(() -> new LaneSplit(4, List.of(falling, others)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("do not ascend")
        .hasMessageContaining("laneBefore=2");
  }
}
