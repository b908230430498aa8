package dev.lockstep.train.parallel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.SumTree.Subtree;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ShardRoundsTest {
  private static final int MOST_LANES = 17;
  private static final int MOST_RANKS = 6;

  /// The sum over lanes `[first, first + count)` as the tree has it, in words.
  private static String tree(int first, int count) {
    if (count == 1) {
      return "" + first;
    }
    int left = SumTree.left(count);
    return "(" + tree(first, left) + "+" + tree(first + left, count - left) + ")";
  }

  @ParameterizedTest(name = "joinsLast={0}")
  @ValueSource(booleans = {false, true})
  void endWithTheTreeOfAllLanesInTheFirstSlot(boolean joinsLast) {
    for (int lanes = 1; lanes <= MOST_LANES; lanes++) {
      for (int ranks = 1; ranks <= Math.min(lanes, MOST_RANKS); ranks++) {
        ShardRounds plan = ShardRounds.of(lanes, ranks, joinsLast);
        Map<Integer, String> slots = new HashMap<>();
        Set<Integer> used = new HashSet<>();
        int joins = 0;
        for (ShardRounds.Round round : plan.rounds()) {
          for (ShardRounds.Action action : round.actions()) {
            switch (action) {
              case ShardRounds.Action.Reduce(LaneSplit leaves, int slot) -> {
                assertThat(slots).as("a slot in use is left alone").doesNotContainKey(slot);
                slots.put(slot, tree(first(round, leaves), leaves.lanes()));
                used.add(slot);
              }
              case ShardRounds.Action.Join(int into, int from) -> {
                slots.put(into, "(" + slots.get(into) + "+" + slots.remove(from) + ")");
                joins++;
              }
            }
          }
        }
        assertThat(slots)
            .as("lanes=%d, ranks=%d", lanes, ranks)
            .isEqualTo(Map.of(0, tree(0, lanes)));
        assertThat(plan.slots()).isEqualTo(used.size());
        assertThat(plan.joins()).isEqualTo(joins);
      }
    }
  }

  /// The first lane of a subtree, whose leaves every rank brings of its own lane.
  private static int first(ShardRounds.Round round, LaneSplit leaves) {
    Set<Integer> firsts = new HashSet<>();
    for (int rank = 0; rank < leaves.ranks().size(); rank++) {
      for (Subtree leaf : leaves.ranks().get(rank)) {
        firsts.add(round.first() + rank - leaf.first());
      }
    }
    assertThat(firsts).hasSize(1);
    return firsts.iterator().next();
  }
}
