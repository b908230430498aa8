package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;

/// Broadcast by messages down a binomial tree: counted from the root, rank `v` gets the elements
/// from `v` without its lowest bit and passes them on to `v` plus each lower bit, farthest first.
///
/// `ceil(log2 P)` messages deep; the root sends `ceil(log2 P) * S` bytes, all ranks together `(P-1)
/// * S`.
final class BinomialBroadcast extends PlannedAlgorithm {
  /// Makes the algorithm.
  BinomialBroadcast() {
    super("binomial-broadcast", CollectiveKind.BROADCAST);
  }

  @Override
  public boolean isBrief() {
    return true;
  }

  @Override
  Plan plan(CollectiveRequest request) {
    return Plan.of(rank -> steps(request, rank));
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int ranks = request.ranks();
    int root = request.root();
    long elements = request.total();
    int virtual = Math.floorMod(rank - root, ranks);
    Range held = rank == root ? input(rank, 0, 0, elements) : output(rank, 0, elements);
    int reach = Integer.lowestOneBit(virtual);
    if (rank == root) {
      reach = Integer.highestOneBit(Math.max(1, ranks - 1)) << 1;
    } else {
      steps.receive((virtual - reach + root) % ranks, held);
    }
    for (int bit = reach >> 1; bit > 0; bit >>= 1) {
      if (virtual + bit < ranks) {
        steps.send((virtual + bit + root) % ranks, held);
      }
    }
    if (rank == root && !request.inPlace()) {
      steps.copy(held, output(rank, 0, elements));
    }
    return steps;
  }
}
