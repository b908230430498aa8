package dev.lockstep.collective.verify;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.SumTree.Subtree;
import java.util.HashMap;
import java.util.Map;

/// The tree by which an element is reduced, up to commutativity: a join's operands are ordered by
/// their first contribution, so equal trees are equal values.
public sealed interface ReductionTree {
  /// One contribution.
  ///
  /// @param rank who brings it
  /// @param input which of its inputs it is
  record Leaf(int rank, int input) implements ReductionTree {
    @Override
    public String toString() {
      return rank + "." + input;
    }
  }

  /// A join.
  ///
  /// @param left the operand with the lower first contribution
  /// @param right the other
  record Join(ReductionTree left, ReductionTree right) implements ReductionTree {
    @Override
    public String toString() {
      return "(" + left + " + " + right + ")";
    }
  }

  /// Returns the join of two trees, operands in canonical order.
  static ReductionTree join(ReductionTree a, ReductionTree b) {
    return order(a.first(), b.first()) <= 0 ? new Join(a, b) : new Join(b, a);
  }

  /// Returns the contribution that stands first.
  default Leaf first() {
    ReductionTree at = this;
    while (at instanceof Join(ReductionTree left, _)) {
      at = left;
    }
    return (Leaf) at;
  }

  /// Returns the lane tree T that a request asks for.
  static ReductionTree ofLanes(CollectiveRequest request) {
    Map<Subtree, ReductionTree> held = new HashMap<>();
    for (int rank = 0; rank < request.ranks(); rank++) {
      for (int input = 0; input < request.inputs(rank); input++) {
        held.put(request.subtree(rank, input), new Leaf(rank, input));
      }
    }
    return ofLanes(new Subtree(0, request.lanes().lanes()), held);
  }

  private static ReductionTree ofLanes(Subtree at, Map<Subtree, ReductionTree> held) {
    ReductionTree leaf = held.get(at);
    if (leaf != null) {
      return leaf;
    }
    int left = SumTree.left(at.size());
    return join(
        ofLanes(new Subtree(at.first(), left), held),
        ofLanes(new Subtree(at.first() + left, at.size() - left), held));
  }

  private static int order(Leaf a, Leaf b) {
    int byRank = Integer.compare(a.rank(), b.rank());
    return byRank != 0 ? byRank : Integer.compare(a.input(), b.input());
  }
}
