package dev.lockstep.train.parallel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.SumTree.Subtree;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LanePlanTest {
  @ParameterizedTest(name = "lanes={0}, ranks={1}")
  @CsvSource({"1, 1", "4, 1", "4, 3", "5, 1", "5, 2", "5, 4", "7, 2", "8, 3", "13, 1", "13, 5"})
  void leavesTheTreeOfEachSubtreeInItsSlot(int lanes, int ranks) {
    List<Integer> run = new ArrayList<>();
    for (List<Subtree> held : LaneSplit.contiguous(lanes, ranks).ranks()) {
      LanePlan plan = LanePlan.of(held);
      String[] slots = new String[plan.slots()];
      for (LanePlan.Action action : plan.actions()) {
        switch (action) {
          case LanePlan.Action.Run(int lane, int slot) -> {
            slots[slot] = "" + lane;
            run.add(lane);
          }
          case LanePlan.Action.Join(int into, int from) ->
              slots[into] = "(" + slots[into] + "+" + slots[from] + ")";
        }
      }
      for (int i = 0; i < held.size(); i++) {
        assertThat(slots[i]).isEqualTo(tree(held.get(i).first(), held.get(i).size()));
      }
    }
    assertThat(run).hasSize(lanes).isSorted().doesNotHaveDuplicates();
  }

  private static String tree(int first, int size) {
    if (size == 1) {
      return "" + first;
    }
    int left = SumTree.left(size);
    return "(" + tree(first, left) + "+" + tree(first + left, size - left) + ")";
  }

  @Test
  void needsAsManySlotsAsACounterHasDigits() {
    assertThat(LanePlan.of(List.of(new Subtree(0, 1))).slots()).isEqualTo(1);
    assertThat(LanePlan.of(List.of(new Subtree(0, 4))).slots()).isEqualTo(3);
    assertThat(LanePlan.of(List.of(new Subtree(0, 1024))).slots()).isEqualTo(11);
  }
}
