package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;

/// All-gather by messages, each straight from its owner.
///
/// One message deep; a rank sends its part `P-1` times.
final class ExchangeAllGather extends PlannedAlgorithm {
  /// Makes the algorithm.
  ExchangeAllGather() {
    super("exchange-all-gather", CollectiveKind.ALL_GATHER);
  }

  @Override
  public boolean isBrief() {
    return true;
  }

  @Override
  Plan plan(CollectiveRequest request) {
    return Plan.of(rank -> steps(request, rank))
        .withAlike(rank -> Parts.alikeByRotation(request, rank));
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int[] peers = peers(rank, request.ranks());
    Range own = input(rank, 0, 0, request.counts().get(rank));
    for (int peer : peers) {
      long part = request.counts().get(peer);
      steps.receive(peer, output(rank, request.displacement(peer), part));
    }
    for (int peer : peers) {
      steps.send(peer, own);
    }
    if (!request.inPlace()) {
      steps.copy(own, output(rank, request.displacement(rank), own.elements()));
    }
    return steps;
  }
}
