package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;

/// All-gather by messages to the next rank only: every part goes all the way round.
///
/// `P-1` messages deep; a rank sends all parts but the next rank's, once. No scratch.
public final class RingAllGather extends PlannedAlgorithm {
  /// Makes the algorithm.
  public RingAllGather() {
    super("ring-all-gather", CollectiveKind.ALL_GATHER);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Ring ring = new Ring(request, new Chunks(request, Cut.byCounts(request), 0));
    return Plan.of(rank -> steps(request, ring, rank))
        .withAlike(rank -> Parts.alikeByRotation(request, rank));
  }

  private static Steps steps(CollectiveRequest request, Ring ring, int rank) {
    Steps steps = new Steps();
    Range own = input(rank, 0, 0, request.counts().get(rank));
    ring.allGather(steps, rank, own, part -> place(request, rank, part));
    if (!request.inPlace()) {
      steps.copy(own, place(request, rank, rank));
    }
    return steps;
  }

  private static Range place(CollectiveRequest request, int rank, int part) {
    return output(rank, request.displacement(part), request.counts().get(part));
  }
}
