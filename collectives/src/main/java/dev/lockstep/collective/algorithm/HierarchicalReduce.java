package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import java.util.Optional;

/// Reduce over ranks in groups within groups, by messages: within each group up a binomial tree to
/// its leader, then alike among the leaders, level by level.
///
/// Realises the lane tree T in same-bits mode, whichever rank the root is, where every rank brings
/// one subtree and the ranks' order is the lanes'; groups are taken smaller there, to the largest
/// power of two that divides their size. One sum leaves a group. `ceil(log2 n)` messages deep for
/// each level of `n` units to a group; every rank but the root sends `S` bytes: for few bytes.
/// Scratch: `S` on those that receive.
final class HierarchicalReduce extends PlannedAlgorithm {
  /// Makes the algorithm.
  HierarchicalReduce() {
    super("hierarchical-reduce", CollectiveKind.REDUCE);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Hierarchy.noGroups(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    LeaderTree tree = LeaderTree.of(request);
    return Plan.of(rank -> tree.reduce(request, rank))
        .withScratch(rank -> tree.reduceScratch(request, rank));
  }
}
