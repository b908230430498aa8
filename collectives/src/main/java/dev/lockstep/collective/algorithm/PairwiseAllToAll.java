package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.got;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;
import static dev.lockstep.collective.algorithm.Parts.sent;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;

/// All-to-all by messages, one pair of peers after another: in round `i` a rank sends to the `i`-th
/// rank after it and receives from the `i`-th before.
///
/// One message deep, `P-1` rounds; a rank sends what it has for the others, once. In place what
/// arrives goes through scratch.
public final class PairwiseAllToAll extends PlannedAlgorithm {
  /// Makes the algorithm.
  public PairwiseAllToAll() {
    super("pairwise-all-to-all", CollectiveKind.ALL_TO_ALL);
  }

  @Override
  public boolean isBrief() {
    return true;
  }

  @Override
  Plan plan(CollectiveRequest request) {
    return Plan.of(rank -> steps(request, rank))
        .withScratch(rank -> request.inPlace() ? request.outputElements(rank) : 0)
        .withAlike(rank -> Parts.alikeByRotation(request, rank));
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int ranks = request.ranks();
    steps.copy(sent(request, rank, rank), got(request, rank, rank));
    for (int round = 1; round < ranks; round++) {
      int from = Math.floorMod(rank - round, ranks);
      int to = (rank + round) % ranks;
      steps.receive(from, got(request, rank, from));
      steps.send(to, sent(request, rank, to));
    }
    if (request.inPlace()) {
      long all = request.outputElements(rank);
      steps.copy(scratch(rank, 0, all), output(rank, 0, all));
    }
    return steps;
  }
}
