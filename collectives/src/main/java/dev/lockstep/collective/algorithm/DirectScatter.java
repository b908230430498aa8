package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.READ;
import static dev.lockstep.collective.algorithm.Parts.READY;
import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.Optional;

/// Scatter in memory that all ranks share: every rank reads its part of the root's elements where
/// it lies.
///
/// Two signals deep. Every rank but the root copies its part.
final class DirectScatter extends PlannedAlgorithm {
  /// Makes the algorithm.
  DirectScatter() {
    super("direct-scatter", CollectiveKind.SCATTER);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.noPeerMemory(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    return Plan.of(rank -> steps(request, rank));
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int root = request.root();
    long own = request.counts().get(rank);
    Range part = input(root, 0, request.displacement(rank), own);
    if (rank != root) {
      if (own > 0) {
        steps.await(root, READY);
        steps.copy(part, output(rank, 0, own));
        steps.signal(root, READ);
      }
      return steps;
    }
    int[] peers = peers(root, request.ranks());
    for (int peer : peers) {
      if (request.counts().get(peer) > 0) {
        steps.signal(peer, READY);
      }
    }
    if (!request.inPlace()) {
      steps.copy(part, output(root, 0, own));
    }
    for (int peer : peers) {
      if (request.counts().get(peer) > 0) {
        steps.await(peer, READ);
      }
    }
    return steps;
  }
}
