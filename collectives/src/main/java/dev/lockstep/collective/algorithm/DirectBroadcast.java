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

/// Broadcast in memory that all ranks share: every rank reads the root's elements where they lie.
///
/// Two signals deep: the elements are ready, they are read. Every rank but the root copies `S`
/// bytes.
final class DirectBroadcast extends PlannedAlgorithm {
  /// Makes the algorithm.
  DirectBroadcast() {
    super("direct-broadcast", CollectiveKind.BROADCAST);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.noPeerMemory(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    int firstOther = request.root() == 0 ? 1 : 0;
    return Plan.of(rank -> steps(request, rank))
        .withAlike(rank -> rank == request.root() ? rank : firstOther);
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int root = request.root();
    long elements = request.total();
    if (elements == 0) {
      return steps;
    }
    Range source = input(root, 0, 0, elements);
    if (rank != root) {
      steps.await(root, READY);
      steps.copy(source, output(rank, 0, elements));
      steps.signal(root, READ);
      return steps;
    }
    int[] peers = peers(root, request.ranks());
    for (int peer : peers) {
      steps.signal(peer, READY);
    }
    if (!request.inPlace()) {
      steps.copy(source, output(root, 0, elements));
    }
    for (int peer : peers) {
      steps.await(peer, READ);
    }
    return steps;
  }
}
