package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;

/// Gather by messages, each straight to the root.
///
/// One message deep; every rank but the root sends its part.
final class LinearGather extends PlannedAlgorithm {
  /// Makes the algorithm.
  LinearGather() {
    super("linear-gather", CollectiveKind.GATHER);
  }

  @Override
  public boolean isBrief() {
    return true;
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
      steps.send(root, input(rank, 0, 0, own));
      return steps;
    }
    for (int peer : peers(root, request.ranks())) {
      long part = request.counts().get(peer);
      steps.receive(peer, output(root, request.displacement(peer), part));
    }
    if (!request.inPlace()) {
      steps.copy(input(root, 0, 0, own), output(root, request.displacement(root), own));
    }
    return steps;
  }
}
