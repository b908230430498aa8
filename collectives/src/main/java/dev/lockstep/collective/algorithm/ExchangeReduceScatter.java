package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.output;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;

/// Reduce-scatter by messages: every rank gets all contributions to its part and joins them
/// locally.
///
/// Realises the lane tree T, for any lanes on any ranks. One message deep. With `c` contributions
/// of its own a rank sends `c` times the parts of the others: what a ring sends where `c` is 1.
/// Scratch: all contributions of the others to its part.
final class ExchangeReduceScatter extends PlannedAlgorithm {
  /// Makes the algorithm.
  ExchangeReduceScatter() {
    super("exchange-reduce-scatter", CollectiveKind.REDUCE_SCATTER);
  }

  @Override
  public boolean isBrief() {
    return true;
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Exchange exchange = new Exchange(request, Cut.byCounts(request));
    return Plan.of(rank -> steps(request, exchange, rank))
        .withScratch(exchange::scratchElements)
        .withAlike(rank -> Parts.alikeByRotation(request, rank));
  }

  private static Steps steps(CollectiveRequest request, Exchange exchange, int rank) {
    Steps steps = new Steps();
    Range part = output(rank, 0, request.counts().get(rank));
    exchange.joinParts(steps, rank, part);
    return steps;
  }
}
