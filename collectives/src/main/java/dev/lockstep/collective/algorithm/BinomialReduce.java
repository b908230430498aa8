package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import java.util.Optional;

/// Reduce by messages up a binomial tree of T's shape.
///
/// Realises the lane tree T, whichever rank the root is, where every rank brings one subtree and
/// the ranks' order is the lanes'. `ceil(log2 P)` messages deep; every rank but the root sends `S`
/// bytes. Scratch: `S` on those that receive.
final class BinomialReduce extends PlannedAlgorithm {
  /// Makes the algorithm.
  BinomialReduce() {
    super("binomial-reduce", CollectiveKind.REDUCE);
  }

  @Override
  public boolean isBrief() {
    return true;
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.notInRankOrder(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    LeaderTree tree = LeaderTree.withoutGroups(request);
    return Plan.of(rank -> tree.reduce(request, rank))
        .withScratch(rank -> tree.reduceScratch(request, rank));
  }
}
