package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;

/// Scatter by messages, each straight from the root.
///
/// One message deep; the root sends every other rank its part.
final class LinearScatter extends PlannedAlgorithm {
  /// Makes the algorithm.
  LinearScatter() {
    super("linear-scatter", CollectiveKind.SCATTER);
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
      steps.receive(root, output(rank, 0, own));
      return steps;
    }
    for (int peer : peers(root, request.ranks())) {
      long part = request.counts().get(peer);
      steps.send(peer, input(root, 0, request.displacement(peer), part));
    }
    if (!request.inPlace()) {
      steps.copy(input(root, 0, request.displacement(root), own), output(root, 0, own));
    }
    return steps;
  }
}
