package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;
import static dev.lockstep.collective.algorithm.Parts.scratch;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;

/// Reduce by messages: every rank gets all contributions to its share, joins them locally, and
/// sends the joined share to the root.
///
/// Realises the lane tree T, for any lanes on any ranks. Two messages deep. With `c` contributions
/// of its own a rank sends `(P-1)/P * S * c` bytes and, but for the root, `1/P * S` more. Scratch:
/// all contributions of the others to its share, and the share.
final class ExchangeReduce extends PlannedAlgorithm {
  /// Makes the algorithm.
  ExchangeReduce() {
    super("exchange-reduce", CollectiveKind.REDUCE);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Cut shares = Cut.evenly(request, request.ranks());
    Exchange exchange = new Exchange(request, shares);
    return Plan.of(rank -> steps(request, shares, exchange, rank))
        .withScratch(
            rank ->
                exchange.scratchElements(rank)
                    + (rank == request.root() ? 0 : shares.length(rank)));
  }

  private static Steps steps(CollectiveRequest request, Cut shares, Exchange exchange, int rank) {
    Steps steps = new Steps();
    int root = request.root();
    if (rank != root) {
      Range joined = scratch(rank, exchange.scratchElements(rank), shares.length(rank));
      exchange.joinParts(steps, rank, joined);
      steps.send(root, joined);
      return steps;
    }
    exchange.joinParts(steps, rank, output(rank, shares.start(rank), shares.length(rank)));
    for (int peer : peers(rank, request.ranks())) {
      steps.receive(peer, output(rank, shares.start(peer), shares.length(peer)));
    }
    return steps;
  }
}
