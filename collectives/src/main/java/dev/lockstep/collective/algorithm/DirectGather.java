package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.READ;
import static dev.lockstep.collective.algorithm.Parts.READY;
import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import java.util.Optional;

/// Gather in memory that all ranks share: the root reads its peers' parts where they lie.
///
/// Two signals deep. The root copies the parts of the others; they do nothing.
final class DirectGather extends PlannedAlgorithm {
  /// Makes the algorithm.
  DirectGather() {
    super("direct-gather", CollectiveKind.GATHER);
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
    if (rank != root) {
      if (own > 0) {
        steps.signal(root, READY);
        steps.await(root, READ);
      }
      return steps;
    }
    if (!request.inPlace()) {
      steps.copy(input(root, 0, 0, own), output(root, request.displacement(root), own));
    }
    for (int peer : peers(root, request.ranks())) {
      long part = request.counts().get(peer);
      if (part > 0) {
        steps.await(peer, READY);
        steps.copy(input(peer, 0, 0, part), output(root, request.displacement(peer), part));
        steps.signal(peer, READ);
      }
    }
    return steps;
  }
}
