package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.READ;
import static dev.lockstep.collective.algorithm.Parts.READY;
import static dev.lockstep.collective.algorithm.Parts.contributes;
import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.Optional;

/// Reduce in memory that all ranks share: the root joins all contributions where they lie, in one
/// pass.
///
/// Realises the lane tree T, for any lanes on any ranks. Two signals deep. The root reads `C * S`
/// bytes and writes `S`; the others do nothing.
final class DirectReduce extends PlannedAlgorithm {
  /// Makes the algorithm.
  DirectReduce() {
    super("direct-reduce", CollectiveKind.REDUCE);
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
    long elements = request.total();
    if (elements == 0) {
      return steps;
    }
    if (rank != root) {
      if (contributes(request, rank)) {
        steps.signal(root, READY);
        steps.await(root, READ);
      }
      return steps;
    }
    int[] peers = peers(root, request.ranks());
    for (int peer : peers) {
      if (contributes(request, peer)) {
        steps.await(peer, READY);
      }
    }
    Range result = output(root, 0, elements);
    steps.reduce(
        result, Parts.laneTree(request, (holder, index) -> input(holder, index, 0, elements)));
    for (int peer : peers) {
      if (contributes(request, peer)) {
        steps.signal(peer, READ);
      }
    }
    steps.finish(request, result);
    return steps;
  }
}
