package dev.lockstep.train.parallel;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.SumTree.Subtree;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.stream.Stream;

/// In which order ranks that keep shards of sums alone take their lanes (ZeRO 2 and 3): in rounds,
/// at round `t` rank `r` computes lane `t·R + r`. Each subtree of the lane tree that a round
/// completes is reduced to shards in a slot, and slots are joined as the tree has it. The sum of
/// all lanes ends in slot 0.
///
/// @param rounds what to do, in order
/// @param slots how many sums are held at once
/// @param joins how often two are joined
public record ShardRounds(List<Round> rounds, int slots, int joins) {
  /// One round.
  ///
  /// @param first its first lane
  /// @param end the lane after its last
  /// @param actions what follows the lanes, in order
  public record Round(int first, int end, List<Action> actions) {
    /// Copies the list.
    public Round {
      actions = List.copyOf(actions);
    }
  }

  /// What is done with sums.
  public sealed interface Action {
    /// Sums the round's lanes that a subtree has, and leaves shards in a slot.
    ///
    /// @param lanes which leaf each rank brings
    record Reduce(LaneSplit lanes, int slot) implements Action {}

    /// Adds slot `from` to slot `into`.
    record Join(int into, int from) implements Action {}
  }

  /// Copies the list.
  public ShardRounds {
    rounds = List.copyOf(rounds);
  }

  /// Returns how often lanes are reduced.
  public int reductions() {
    return (int) reduced().count();
  }

  /// Returns how often lanes are reduced of which a rank brings one.
  ///
  /// @param rank place on the data axis
  public int reductionsOf(int rank) {
    return (int) reduced().filter(lanes -> !lanes.ranks().get(rank).isEmpty()).count();
  }

  private Stream<LaneSplit> reduced() {
    return rounds.stream()
        .flatMap(round -> round.actions.stream())
        .filter(Action.Reduce.class::isInstance)
        .map(action -> ((Action.Reduce) action).lanes());
  }

  private record Held(Subtree tree, int slot) {}

  /// Plans the rounds.
  ///
  /// @param joinsLast whether a round joins once all of its subtrees are reduced, so that they may
  ///   be reduced side by side
  public static ShardRounds of(int lanes, int ranks, boolean joinsLast) {
    List<Round> rounds = new ArrayList<>();
    List<Held> held = new ArrayList<>();
    BitSet used = new BitSet();
    int slots = 0;
    int joins = 0;
    for (int first = 0; first < lanes; first += ranks) {
      int end = Math.min(first + ranks, lanes);
      List<Action> actions = new ArrayList<>();
      for (Subtree tree : SumTree.cover(lanes, first, end)) {
        int slot = used.nextClearBit(0);
        used.set(slot);
        slots = Math.max(slots, slot + 1);
        held.add(new Held(tree, slot));
        actions.add(new Action.Reduce(leaves(tree, first, ranks), slot));
        joins += joinsLast ? 0 : join(held, lanes, used, actions);
      }
      joins += join(held, lanes, used, actions);
      rounds.add(new Round(first, end, actions));
    }
    return new ShardRounds(rounds, slots, joins);
  }

  /// Joins neighbours until none are the branches of one subtree; returns how often.
  private static int join(List<Held> held, int lanes, BitSet used, List<Action> actions) {
    int joins = 0;
    for (int i = 0; i + 1 < held.size(); ) {
      Held left = held.get(i);
      Held right = held.get(i + 1);
      Subtree both = new Subtree(left.tree.first(), left.tree.size() + right.tree.size());
      boolean arePair =
          SumTree.left(both.size()) == left.tree.size()
              && SumTree.cover(lanes, both.first(), both.end()).equals(List.of(both));
      if (!arePair) {
        i++;
        continue;
      }
      actions.add(new Action.Join(left.slot, right.slot));
      used.clear(right.slot);
      held.set(i, new Held(both, left.slot));
      held.remove(i + 1);
      joins++;
      i = 0;
    }
    return joins;
  }

  /// The leaves of one subtree, one on each rank that has a lane of it in this round.
  private static LaneSplit leaves(Subtree tree, int firstLane, int ranks) {
    List<List<Subtree>> byRank = new ArrayList<>();
    for (int rank = 0; rank < ranks; rank++) {
      int leaf = firstLane + rank - tree.first();
      byRank.add(
          leaf >= 0 && leaf < tree.size() ? List.of(new Subtree(leaf, 1)) : List.<Subtree>of());
    }
    return new LaneSplit(tree.size(), byRank);
  }
}
