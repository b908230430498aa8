package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;

/// All-reduce by messages over any transport: all-to-all reduce-scatter, where every rank gets all
/// contributions to its share and joins them locally, then all-gather of the joined shares.
///
/// Realises the lane tree T, for any lanes on any ranks. Two messages deep. With `P` ranks, `c`
/// contributions of its own and `S` bytes a rank sends `(P-1)/P * S * (c + 1)`: what a ring sends
/// where `c` is 1. Scratch: all contributions of the others to its share.
final class ExchangeAllReduce extends PlannedAlgorithm {
  /// Makes the algorithm.
  ExchangeAllReduce() {
    super("exchange-all-reduce", CollectiveKind.ALL_REDUCE);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Cut shares = Cut.evenly(request, request.ranks());
    Exchange exchange = new Exchange(request, shares);
    return Plan.of(rank -> steps(request, shares, exchange, rank))
        .withScratch(exchange::scratchElements)
        .withAlike(rank -> Parts.alikeByRotation(request, rank));
  }

  private static Steps steps(CollectiveRequest request, Cut shares, Exchange exchange, int rank) {
    Steps steps = new Steps();
    int[] peers = peers(rank, request.ranks());
    Range own = output(rank, shares.start(rank), shares.length(rank));
    exchange.joinParts(steps, rank, own);
    for (int peer : peers) {
      steps.send(peer, own);
    }
    for (int peer : peers) {
      steps.receive(peer, output(rank, shares.start(peer), shares.length(peer)));
    }
    return steps;
  }
}
