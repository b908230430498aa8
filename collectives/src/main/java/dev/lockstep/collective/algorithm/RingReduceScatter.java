package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.contributes;
import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import java.util.Optional;

/// Reduce-scatter by messages to the next rank only: a part collects contributions rank by rank and
/// ends where it belongs.
///
/// Realises a chain over the ranks, rotated from part to part: relaxed mode only. `P-1` messages
/// deep; a rank sends the parts of the others, once. Scratch: twice the largest part.
final class RingReduceScatter extends PlannedAlgorithm {
  /// Makes the algorithm.
  RingReduceScatter() {
    super("ring-reduce-scatter", CollectiveKind.REDUCE_SCATTER);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.notTheLaneTree(request, "a ring");
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Ring ring = new Ring(request, new Chunks(request, Cut.byCounts(request), 0));
    long largest = largest(request);
    return Plan.of(rank -> steps(request, ring, rank, largest))
        .withScratch(_ -> request.ranks() == 1 ? 0 : 2 * largest)
        .withAlike(rank -> Parts.alikeByRotation(request, rank));
  }

  private static long largest(CollectiveRequest request) {
    long largest = 0;
    for (int rank = 0; rank < request.ranks(); rank++) {
      largest = Math.max(largest, request.counts().get(rank));
    }
    return largest;
  }

  private static Steps steps(CollectiveRequest request, Ring ring, int rank, long largest) {
    Steps steps = new Steps();
    int ranks = request.ranks();
    Range result = output(rank, 0, request.counts().get(rank));
    if (ranks == 1) {
      steps.reduce(
          result, Parts.laneTree(request, (_, index) -> input(rank, index, 0, result.elements())));
      steps.finish(request, result);
      return steps;
    }
    Range held = first(steps, ring, rank, largest);
    for (int hop = 0; hop < ranks - 1; hop++) {
      if (ring.holdsAnything(rank, hop)) {
        steps.send(ring.next(rank), held);
      }
      long coming = ring.parts().length(ring.coming(rank, hop));
      Range slot = scratch(rank, hop % 2 * largest, coming);
      held = hop == ranks - 2 ? result : slot;
      receive(steps, ring, rank, hop, slot, held);
    }
    steps.finish(request, result);
    return steps;
  }

  /// Returns where this rank's contribution is to the part that starts here; joined, it lies in the
  /// second slot, which the second hop takes.
  private static Range first(Steps steps, Ring ring, int rank, long largest) {
    long start = ring.parts().start(ring.leaving(rank, 0));
    long length = ring.parts().length(ring.leaving(rank, 0));
    if (ring.request().inputs(rank) < 2) {
      return input(rank, 0, start, length);
    }
    Range joined = scratch(rank, largest, length);
    steps.reduce(joined, Parts.chain(ring.request(), rank, start, length));
    return joined;
  }

  /// Receives a part and joins this rank's contributions to it.
  private static void receive(Steps steps, Ring ring, int rank, int hop, Range slot, Range result) {
    CollectiveRequest request = ring.request();
    int before = ring.before(rank);
    boolean arrives = ring.holdsAnything(before, hop);
    if (!contributes(request, rank)) {
      if (arrives) {
        steps.receive(before, result);
      }
      return;
    }
    int coming = ring.coming(rank, hop);
    JoinTree own =
        Parts.chain(request, rank, ring.parts().start(coming), ring.parts().length(coming));
    if (arrives) {
      steps.receive(before, slot);
      steps.reduce(result, new JoinTree.Node(new JoinTree.Leaf(slot), own));
    } else {
      steps.reduce(result, own);
    }
  }
}
