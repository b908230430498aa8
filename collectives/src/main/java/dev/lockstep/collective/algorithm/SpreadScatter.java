package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.READ;
import static dev.lockstep.collective.algorithm.Parts.READY;
import static dev.lockstep.collective.algorithm.Parts.WRITTEN;
import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import java.util.Optional;

/// Scatter in memory that all ranks share, by both ends of each way: every rank reads most of its
/// part where it lies, and the root, which would only wait, writes the rest of each.
///
/// Two signals deep. In place each of `P` ranks copies `(P-1)/P` of a part.
final class SpreadScatter extends PlannedAlgorithm {
  /// Makes the algorithm.
  SpreadScatter() {
    super("spread-scatter", CollectiveKind.SCATTER);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.nothingToShare(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    return Plan.of(rank -> rank == request.root() ? give(request) : take(request, rank));
  }

  private static Steps take(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int root = request.root();
    long part = request.counts().get(rank);
    long given = Parts.rootMoves(request, part);
    if (given > 0) {
      steps.signal(root, READY);
    }
    if (part > 0) {
      steps.await(root, READY);
      steps.copy(
          input(root, 0, request.displacement(rank), part - given), output(rank, 0, part - given));
      steps.signal(root, READ);
    }
    if (given > 0) {
      steps.await(root, WRITTEN);
    }
    return steps;
  }

  private static Steps give(CollectiveRequest request) {
    Steps steps = new Steps();
    int root = request.root();
    int[] peers = peers(root, request.ranks());
    for (int peer : peers) {
      if (request.counts().get(peer) > 0) {
        steps.signal(peer, READY);
      }
    }
    for (int peer : peers) {
      long part = request.counts().get(peer);
      long given = Parts.rootMoves(request, part);
      if (given > 0) {
        long taken = part - given;
        steps.await(peer, READY);
        steps.push(
            input(root, 0, request.displacement(peer) + taken, given), output(peer, taken, given));
        steps.signal(peer, WRITTEN);
      }
    }
    long own = request.counts().get(root);
    if (!request.inPlace()) {
      steps.copy(input(root, 0, request.displacement(root), own), output(root, 0, own));
    }
    for (int peer : peers) {
      if (request.counts().get(peer) > 0) {
        steps.await(peer, READ);
      }
    }
    return steps;
  }
}
