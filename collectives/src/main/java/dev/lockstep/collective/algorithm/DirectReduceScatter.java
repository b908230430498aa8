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

/// Reduce-scatter in memory that all ranks share: each rank joins all contributions to its part
/// where they lie, in one pass.
///
/// Realises the lane tree T, for any lanes on any ranks. Two signals deep. With `C` contributions a
/// rank reads `C` times its part and writes it once; nothing is staged. In place too: a rank's part
/// of every contribution is read by that rank alone.
public final class DirectReduceScatter extends PlannedAlgorithm {
  /// Makes the algorithm.
  public DirectReduceScatter() {
    super("direct-reduce-scatter", CollectiveKind.REDUCE_SCATTER);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.noPeerMemory(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    return Plan.of(rank -> steps(request, rank))
        .withAlike(rank -> Parts.alikeByRotation(request, rank));
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int[] peers = peers(rank, request.ranks());
    for (int peer : peers) {
      if (contributes(request, rank) && request.counts().get(peer) > 0) {
        steps.signal(peer, READY);
      }
    }
    long start = request.displacement(rank);
    long length = request.counts().get(rank);
    if (length > 0) {
      for (int peer : peers) {
        if (contributes(request, peer)) {
          steps.await(peer, READY);
        }
      }
      Range part = output(rank, 0, length);
      steps.reduce(
          part, Parts.laneTree(request, (holder, index) -> input(holder, index, start, length)));
      for (int peer : peers) {
        if (contributes(request, peer)) {
          steps.signal(peer, READ);
        }
      }
      steps.finish(request, part);
    }
    for (int peer : peers) {
      if (contributes(request, rank) && request.counts().get(peer) > 0) {
        steps.await(peer, READ);
      }
    }
    return steps;
  }
}
