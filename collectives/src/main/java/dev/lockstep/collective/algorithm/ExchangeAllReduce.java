package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
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
        .withScratch(rank -> joinsAsItComes(request) ? 0 : exchange.scratchElements(rank))
        .withAlike(rank -> Parts.alikeByRotation(request, rank));
  }

  private static Steps steps(CollectiveRequest request, Cut shares, Exchange exchange, int rank) {
    Steps steps = new Steps();
    int[] peers = peers(rank, request.ranks());
    Range own = output(rank, shares.start(rank), shares.length(rank));
    if (joinsAsItComes(request)) {
      joinAsItComes(steps, request, shares, rank, own);
    } else {
      exchange.joinParts(steps, rank, own);
    }
    for (int peer : peers) {
      steps.send(peer, own);
    }
    for (int peer : peers) {
      steps.receive(peer, output(rank, shares.start(peer), shares.length(peer)));
    }
    return steps;
  }

  /// Returns whether a share has two contributions, its rank's own and one that arrives: whichever
  /// comes first, T joins the two. Ranks that read each other's memory exchange what is short
  /// alone, and have ways of their own for that.
  private static boolean joinsAsItComes(CollectiveRequest request) {
    return request.ranks() == 2
        && !request.topology().peerMemory()
        && request.inputs(0) == 1
        && request.inputs(1) == 1;
  }

  private static void joinAsItComes(
      Steps steps, CollectiveRequest request, Cut shares, int rank, Range own) {
    int peer = 1 - rank;
    steps.send(peer, input(rank, 0, shares.start(peer), shares.length(peer)));
    if (!request.inPlace()) {
      steps.copy(input(rank, 0, own.offset(), own.elements()), own);
    }
    steps.receiveReduce(peer, own);
    steps.finish(request, own);
  }
}
