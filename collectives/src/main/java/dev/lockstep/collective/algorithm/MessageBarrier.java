package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;

/// Barrier by messages of no bytes (Hensgen, Finkel and Manber's dissemination, 1988): in round `k`
/// rank `r` tells `r + 2^k` and hears from `r - 2^k`.
///
/// `ceil(log2 P)` messages deep; as many are sent by every rank.
final class MessageBarrier extends PlannedAlgorithm {
  /// Makes the algorithm.
  MessageBarrier() {
    super("message-barrier", CollectiveKind.BARRIER);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    int outermost = Hierarchy.turns(request) ? request.topology().levels().getLast() : 1;
    return Plan.of(rank -> steps(request.ranks(), rank)).withAlike(rank -> rank % outermost);
  }

  private static Steps steps(int ranks, int rank) {
    Steps steps = new Steps();
    for (int distance = 1; distance < ranks; distance <<= 1) {
      steps.tell((rank + distance) % ranks, Parts.output(rank, 0, 0));
      steps.hear(Math.floorMod(rank - distance, ranks), Parts.output(rank, 0, 0));
    }
    return steps;
  }
}
