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

/// Gather in memory that all ranks share, by both ends of each way: every rank, which would only
/// wait, writes most of its part to the root, and the root reads the rest of each.
///
/// Two signals deep. In place each of `P` ranks copies `(P-1)/P` of a part, where a root that reads
/// all ([DirectGather]) copies `P-1` parts.
final class SpreadGather extends PlannedAlgorithm {
  /// Makes the algorithm.
  SpreadGather() {
    super("spread-gather", CollectiveKind.GATHER);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.nothingToShare(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    return Plan.of(rank -> rank == request.root() ? take(request) : give(request, rank));
  }

  private static Steps give(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int root = request.root();
    long part = request.counts().get(rank);
    long taken = Parts.rootMoves(request, part);
    if (taken > 0) {
      steps.signal(root, READY);
    }
    if (part > 0) {
      long given = part - taken;
      steps.await(root, READY);
      steps.push(input(rank, 0, 0, given), output(root, request.displacement(rank), given));
      steps.signal(root, WRITTEN);
    }
    if (taken > 0) {
      steps.await(root, READ);
    }
    return steps;
  }

  private static Steps take(CollectiveRequest request) {
    Steps steps = new Steps();
    int root = request.root();
    int[] peers = peers(root, request.ranks());
    for (int peer : peers) {
      if (request.counts().get(peer) > 0) {
        steps.signal(peer, READY);
      }
    }
    long own = request.counts().get(root);
    if (!request.inPlace()) {
      steps.copy(input(root, 0, 0, own), output(root, request.displacement(root), own));
    }
    for (int peer : peers) {
      long part = request.counts().get(peer);
      long taken = Parts.rootMoves(request, part);
      if (taken > 0) {
        long given = part - taken;
        steps.await(peer, READY);
        steps.copy(
            input(peer, 0, given, taken), output(root, request.displacement(peer) + given, taken));
        steps.signal(peer, READ);
      }
    }
    for (int peer : peers) {
      if (request.counts().get(peer) > 0) {
        steps.await(peer, WRITTEN);
      }
    }
    return steps;
  }
}
