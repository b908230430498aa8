package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.READ;
import static dev.lockstep.collective.algorithm.Parts.READY;
import static dev.lockstep.collective.algorithm.Parts.WRITTEN;
import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Broadcast in memory that all ranks share, by both ends of each way: every rank reads most of the
/// root's elements where they lie, and the root, which would only wait, writes the rest to all. Out
/// of place it would not wait, but copy all elements to its own output.
///
/// Two signals deep. Each of `P` ranks copies `(P-1)/P * S` bytes.
final class SpreadBroadcast extends PlannedAlgorithm {
  /// Makes the algorithm.
  SpreadBroadcast() {
    super("spread-broadcast", CollectiveKind.BROADCAST);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return request.inPlace()
        ? Parts.nothingToShare(request)
        : Optional.of("the root has all elements to copy itself");
  }

  @Override
  Plan plan(CollectiveRequest request) {
    int firstOther = request.root() == 0 ? 1 : 0;
    return Plan.of(rank -> rank == request.root() ? give(request) : take(request, rank))
        .withAlike(rank -> rank == request.root() ? rank : firstOther);
  }

  private static Steps take(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int root = request.root();
    long elements = request.total();
    long given = Parts.rootMoves(request, elements);
    if (given > 0) {
      steps.signal(root, READY);
    }
    if (elements > 0) {
      steps.await(root, READY);
      steps.copy(input(root, 0, 0, elements - given), output(rank, 0, elements - given));
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
    long elements = request.total();
    long given = Parts.rootMoves(request, elements);
    int[] peers = elements > 0 ? peers(root, request.ranks()) : new int[0];
    for (int peer : peers) {
      steps.signal(peer, READY);
    }
    if (given > 0) {
      List<Range> everywhere = new ArrayList<>();
      for (int peer : peers) {
        steps.await(peer, READY);
        everywhere.add(output(peer, elements - given, given));
      }
      steps.spread(everywhere, new JoinTree.Leaf(input(root, 0, elements - given, given)));
      for (int peer : peers) {
        steps.signal(peer, WRITTEN);
      }
    }
    for (int peer : peers) {
      steps.await(peer, READ);
    }
    return steps;
  }
}
