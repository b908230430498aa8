package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.READ;
import static dev.lockstep.collective.algorithm.Parts.READY;
import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import java.util.Optional;

/// All-gather in memory that all ranks share: every rank reads its peers' parts where they lie.
///
/// Two signals deep: parts are ready, parts are read. A rank copies the parts of the others, in
/// place nothing else; nothing is staged.
public final class DirectAllGather extends PlannedAlgorithm {
  /// Makes the algorithm.
  public DirectAllGather() {
    super("direct-all-gather", CollectiveKind.ALL_GATHER);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.noPeerMemory(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    return Plan.of(rank -> steps(request, rank))
        .withAlike(rank -> Parts.alikeByRotation(request, rank));
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int[] peers = peers(rank, request.ranks());
    long own = request.counts().get(rank);
    for (int peer : peers) {
      if (own > 0) {
        steps.signal(peer, READY);
      }
    }
    if (!request.inPlace()) {
      steps.copy(input(rank, 0, 0, own), output(rank, request.displacement(rank), own));
    }
    for (int peer : peers) {
      long part = request.counts().get(peer);
      if (part > 0) {
        steps.await(peer, READY);
        steps.copy(input(peer, 0, 0, part), output(rank, request.displacement(peer), part));
        steps.signal(peer, READ);
      }
    }
    for (int peer : peers) {
      if (own > 0) {
        steps.await(peer, READ);
      }
    }
    return steps;
  }
}
