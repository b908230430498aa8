package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.JOINED;
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

/// All-reduce in memory that all ranks share: each rank joins its share of all contributions where
/// they lie, in one pass, and then reads the others' finished shares where they lie.
///
/// Realises the lane tree T, for any lanes on any ranks. Three signals deep: contributions are
/// ready, shares are joined, shares are read. With `P` ranks, `C` contributions and `S` bytes a
/// rank reads `C/P * S` and writes `1/P * S` joining, then copies `(P-1)/P * S`; nothing is staged.
///
/// In place too: a rank's share of every contribution is read by that rank alone, so it may
/// overwrite its own; what it copies over the rest has been joined by then.
public final class DirectAllReduce extends PlannedAlgorithm {
  /// Makes the algorithm.
  public DirectAllReduce() {
    super("direct-all-reduce", CollectiveKind.ALL_REDUCE);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.noPeerMemory(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Cut shares = Cut.evenly(request, request.ranks());
    return Plan.of(rank -> steps(request, shares, rank))
        .withAlike(rank -> Parts.alikeByRotation(request, rank));
  }

  private static Steps steps(CollectiveRequest request, Cut shares, int rank) {
    Steps steps = new Steps();
    int[] peers = peers(rank, request.ranks());
    for (int peer : peers) {
      if (contributes(request, rank) && shares.length(peer) > 0) {
        steps.signal(peer, READY);
      }
    }
    if (shares.length(rank) > 0) {
      joinOwnShare(steps, request, shares, rank);
    }
    for (int peer : peers) {
      if (shares.length(peer) > 0) {
        steps.await(peer, JOINED);
        steps.copy(share(peer, shares, peer), share(rank, shares, peer));
        steps.signal(peer, READ);
      }
    }
    for (int peer : peers) {
      if (shares.length(rank) > 0) {
        steps.await(peer, READ);
      }
    }
    return steps;
  }

  private static void joinOwnShare(Steps steps, CollectiveRequest request, Cut shares, int rank) {
    int[] peers = peers(rank, request.ranks());
    for (int peer : peers) {
      if (contributes(request, peer)) {
        steps.await(peer, READY);
      }
    }
    long start = shares.start(rank);
    long length = shares.length(rank);
    steps.reduce(
        share(rank, shares, rank),
        Parts.laneTree(request, (holder, index) -> input(holder, index, start, length)));
    steps.finish(request, share(rank, shares, rank));
    for (int peer : peers) {
      steps.signal(peer, JOINED);
    }
  }

  private static Range share(int rank, Cut shares, int part) {
    return output(rank, shares.start(part), shares.length(part));
  }
}
