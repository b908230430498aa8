package dev.lockstep.train.parallel;

import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.SumTree.Subtree;
import java.util.ArrayList;
import java.util.List;

/// In which order one rank runs its lanes and joins their sums, so that it ends with the sums of
/// the subtrees it holds: a binary counter. Subtree `i` ends in slot `i`; as many slots are used as
/// a counter has digits, not as there are lanes.
///
/// @param actions what to do, in order
/// @param slots how many accumulators are needed
/// @param held subtrees of the lane tree that this rank holds, ascending
public record LanePlan(List<Action> actions, int slots, List<Subtree> held) {
  /// One step of the plan.
  public sealed interface Action {
    /// Computes `lane` and leaves its sums in `slot`.
    record Run(int lane, int slot) implements Action {}

    /// Adds slot `from` to slot `into`.
    record Join(int into, int from) implements Action {}
  }

  /// Copies the lists.
  public LanePlan {
    actions = List.copyOf(actions);
    held = List.copyOf(held);
  }

  /// Returns the plan of a rank that holds these subtrees.
  public static LanePlan of(List<Subtree> held) {
    List<Action> actions = new ArrayList<>();
    int slots = 0;
    for (int i = 0; i < held.size(); i++) {
      slots = Math.max(slots, plan(held.get(i), i, actions));
    }
    return new LanePlan(actions, slots, held);
  }

  /// Adds the actions that leave the sum of `tree` in `slot`; returns the end of the slots used.
  private static int plan(Subtree tree, int slot, List<Action> actions) {
    if (tree.size() == 1) {
      actions.add(new Action.Run(tree.first(), slot));
      return slot + 1;
    }
    int left = SumTree.left(tree.size());
    int leftEnd = plan(new Subtree(tree.first(), left), slot, actions);
    int rightEnd = plan(new Subtree(tree.first() + left, tree.size() - left), slot + 1, actions);
    actions.add(new Action.Join(slot, slot + 1));
    return Math.max(leftEnd, rightEnd);
  }
}
