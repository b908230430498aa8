package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.Counts;
import dev.lockstep.graph.SumTree;
import java.util.ArrayList;
import java.util.List;

/// The binomial tree over ranks that T gives: each of T's subtrees has a leader, the root where it
/// is one of its leaves, else the first, and the leaders of a node's two branches meet.
///
/// @param ranks number of ranks
/// @param root the leader of all
record Binomial(int ranks, int root) {
  /// Some ranks that are a subtree.
  ///
  /// @param first first rank
  /// @param size how many
  record Branch(int first, int size) {
    int end() {
      return first + size;
    }

    /// Returns how many elements the parts of its ranks have.
    long elements(Counts counts) {
      return counts.start(end()) - counts.start(first);
    }

    boolean has(int rank) {
      return first <= rank && rank < end();
    }
  }

  /// A meeting of two leaders, seen by one of them.
  ///
  /// @param own the branch that this rank leads
  /// @param other the branch that the other one leads
  /// @param peer the other one
  /// @param leads whether this rank leads both together
  record Meeting(Branch own, Branch other, int peer, boolean leads) {}

  private int leader(Branch branch) {
    return branch.has(root) ? root : branch.first();
  }

  /// Returns a rank's meetings, from the smallest branches to the largest; the last one is the only
  /// one in which it does not lead, unless it is the root.
  List<Meeting> meetings(int rank) {
    List<Meeting> meetings = new ArrayList<>();
    Branch at = new Branch(0, ranks);
    while (at.size() > 1) {
      int left = SumTree.left(at.size());
      Branch low = new Branch(at.first(), left);
      Branch high = new Branch(at.first() + left, at.size() - left);
      Branch own = low.has(rank) ? low : high;
      Branch other = low.has(rank) ? high : low;
      if (leader(own) == rank) {
        meetings.addFirst(new Meeting(own, other, leader(other), leader(at) == rank));
      }
      at = own;
    }
    return meetings;
  }

  /// Returns all ranks that a rank leads in the end.
  Branch led(int rank) {
    return rank == root ? new Branch(0, ranks) : meetings(rank).getLast().own();
  }

  /// Returns how much scratch a rank needs for the parts of its branch: none if it is alone in it,
  /// or the root, which has them in its own memory.
  long scratchElements(Counts counts, int rank) {
    return rank == root || led(rank).size() == 1 ? 0 : led(rank).elements(counts);
  }
}
