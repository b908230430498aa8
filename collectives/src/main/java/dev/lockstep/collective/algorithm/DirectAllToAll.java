package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.READ;
import static dev.lockstep.collective.algorithm.Parts.READY;
import static dev.lockstep.collective.algorithm.Parts.got;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;
import static dev.lockstep.collective.algorithm.Parts.sent;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.Optional;

/// All-to-all in memory that all ranks share: every rank reads its part of each peer's input where
/// it lies.
///
/// Two signals deep. A rank copies what it gets; in place it does so twice, by way of scratch,
/// since its own input must stand until its peers have read it.
final class DirectAllToAll extends PlannedAlgorithm {
  /// Makes the algorithm.
  DirectAllToAll() {
    super("direct-all-to-all", CollectiveKind.ALL_TO_ALL);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.noPeerMemory(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    return Plan.of(rank -> steps(request, rank))
        .withScratch(rank -> request.inPlace() ? request.outputElements(rank) : 0)
        .withAlike(rank -> Parts.alikeByRotation(request, rank));
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int[] peers = peers(rank, request.ranks());
    for (int peer : peers) {
      if (request.count(rank, peer) > 0) {
        steps.signal(peer, READY);
      }
    }
    Range kept = sent(request, rank, rank);
    boolean stays = request.inPlace() && kept.offset() == got(request, rank, rank).offset();
    if (!stays) {
      steps.copy(kept, got(request, rank, rank));
    }
    for (int peer : peers) {
      if (request.count(peer, rank) > 0) {
        steps.await(peer, READY);
        steps.copy(sent(request, peer, rank), got(request, rank, peer));
        steps.signal(peer, READ);
      }
    }
    for (int peer : peers) {
      if (request.count(rank, peer) > 0) {
        steps.await(peer, READ);
      }
    }
    for (int from = 0; request.inPlace() && from < request.ranks(); from++) {
      if (from != rank || !stays) {
        Range part = got(request, rank, from);
        steps.copy(part, output(rank, part.offset(), part.elements()));
      }
    }
    return steps;
  }
}
