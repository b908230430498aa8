package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.READ;
import static dev.lockstep.collective.algorithm.Parts.READY;
import static dev.lockstep.collective.algorithm.Parts.WRITTEN;
import static dev.lockstep.collective.algorithm.Parts.contributes;
import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import java.util.List;
import java.util.Optional;

/// Reduce in memory that all ranks share, by all of them: each rank joins its share of all
/// contributions where they lie, and writes the result to the root.
///
/// Realises the lane tree T, for any lanes on any ranks. Two signals deep. With `P` ranks, `C`
/// contributions and `S` bytes a rank reads `C/P * S` and writes `S/P`, where a root alone
/// ([DirectReduce]) reads `C * S`.
final class SpreadReduce extends PlannedAlgorithm {
  /// Makes the algorithm.
  SpreadReduce() {
    super("spread-reduce", CollectiveKind.REDUCE);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.nothingToShare(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Cut shares = Cut.evenly(request, request.ranks());
    int root = request.root();
    int firstOther = root == 0 ? 1 : 0;
    boolean areAlike = Parts.alikeByRotation(request, 1) == 0;
    return Plan.of(rank -> steps(request, shares, rank))
        .withAlike(rank -> rank == root || !areAlike ? rank : firstOther);
  }

  /// Returns the other ranks: the root first, where this is another one, so that all others do
  /// alike.
  private static int[] rootFirst(CollectiveRequest request, int rank) {
    int[] peers = peers(rank, request.ranks());
    for (int at = 0; at < peers.length; at++) {
      if (peers[at] == request.root()) {
        System.arraycopy(peers, 0, peers, 1, at);
        peers[0] = request.root();
      }
    }
    return peers;
  }

  private static Steps steps(CollectiveRequest request, Cut shares, int rank) {
    Steps steps = new Steps();
    int[] peers = rootFirst(request, rank);
    for (int peer : peers) {
      if (isAwaited(request, rank) && shares.length(peer) > 0) {
        steps.signal(peer, READY);
      }
    }
    if (shares.length(rank) > 0) {
      for (int peer : peers) {
        if (isAwaited(request, peer)) {
          steps.await(peer, READY);
        }
      }
      joinOwnShare(steps, request, shares, rank);
      for (int peer : peers) {
        if (isAwaited(request, peer)) {
          steps.signal(peer, peer == request.root() ? WRITTEN : READ);
        }
      }
    }
    for (int peer : peers) {
      if (isAwaited(request, rank) && shares.length(peer) > 0) {
        steps.await(peer, rank == request.root() ? WRITTEN : READ);
      }
    }
    if (rank == request.root()) {
      steps.finish(request, output(rank, 0, request.total()));
    }
    return steps;
  }

  /// Returns whether others work on a rank's memory: its contributions, or the result.
  private static boolean isAwaited(CollectiveRequest request, int rank) {
    return rank == request.root() || contributes(request, rank);
  }

  private static void joinOwnShare(Steps steps, CollectiveRequest request, Cut shares, int rank) {
    long start = shares.start(rank);
    long length = shares.length(rank);
    Range result = output(request.root(), start, length);
    JoinTree tree = Parts.laneTree(request, (holder, index) -> input(holder, index, start, length));
    if (rank == request.root()) {
      steps.reduce(result, tree);
    } else {
      steps.spread(List.of(result), tree);
    }
  }
}
