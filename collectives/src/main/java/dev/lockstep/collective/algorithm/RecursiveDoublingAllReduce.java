package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Space;
import java.util.Optional;

/// All-reduce by exchanges of everything between ranks whose numbers differ in one bit, nearest
/// first.
///
/// Realises the lane tree T where every rank brings one subtree and the ranks' order is the lanes'.
/// `ceil(log2 P)` messages deep where `P` is a power of two, up to twice that elsewhere; a rank
/// sends `S` bytes per message: for few bytes. Scratch: `S`.
final class RecursiveDoublingAllReduce extends PlannedAlgorithm {
  /// Makes the algorithm.
  RecursiveDoublingAllReduce() {
    super("recursive-doubling-all-reduce", CollectiveKind.ALL_REDUCE);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.notInRankOrder(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Cut whole = Cut.evenly(request, 1);
    return Plan.of(rank -> steps(request, whole, rank))
        .withScratch(_ -> request.ranks() == 1 ? 0 : request.total());
  }

  private static Steps steps(CollectiveRequest request, Cut whole, int rank) {
    Steps steps = new Steps();
    Space source = Parts.joinOwn(steps, request, rank);
    Group all = Group.all(request.ranks(), rank);
    new Butterfly(request, all, whole, false, true).allReduce(steps, source);
    return steps;
  }
}
