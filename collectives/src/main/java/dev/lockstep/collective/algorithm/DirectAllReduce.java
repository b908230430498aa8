package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.contributes;
import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.peers;
import static dev.lockstep.collective.algorithm.Parts.share;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Shares;
import dev.lockstep.collective.schedule.Step;
import java.util.ArrayList;
import java.util.List;
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
public final class DirectAllReduce implements Algorithm {
  private static final int READY = 0;
  private static final int JOINED = 1;
  private static final int READ = 2;

  /// Makes the algorithm.
  public DirectAllReduce() {}

  @Override
  public String name() {
    return "direct-all-reduce";
  }

  @Override
  public Optional<String> refusal(CollectiveRequest request) {
    return Parts.refuseOtherKinds(request, CollectiveKind.ALL_REDUCE)
        .or(() -> Parts.refuseWithoutPeerMemory(request));
  }

  @Override
  public Schedule schedule(CollectiveRequest request) {
    Parts.check(this, request);
    Shares shares = Parts.shares(request);
    return Schedule.of(
        name(),
        request,
        rank -> steps(request, shares, rank),
        _ -> List.of(),
        rank -> Parts.alikeByRotation(request, rank));
  }

  private static List<Step> steps(CollectiveRequest request, Shares shares, int rank) {
    List<Step> steps = new ArrayList<>();
    int[] peers = peers(rank, request.ranks());
    for (int peer : peers) {
      if (contributes(request, rank) && shares.length(peer) > 0) {
        steps.add(new Step.Signal(peer, READY));
      }
    }
    if (shares.length(rank) > 0) {
      joinOwnShare(steps, request, shares, rank);
    }
    for (int peer : peers) {
      if (shares.length(peer) > 0) {
        steps.add(new Step.Await(peer, JOINED));
        steps.add(new Step.Copy(share(peer, shares, peer), share(rank, shares, peer)));
        steps.add(new Step.Signal(peer, READ));
      }
    }
    if (shares.length(rank) > 0) {
      for (int peer : peers) {
        steps.add(new Step.Await(peer, READ));
      }
    }
    return steps;
  }

  private static void joinOwnShare(
      List<Step> steps, CollectiveRequest request, Shares shares, int rank) {
    int[] peers = peers(rank, request.ranks());
    for (int peer : peers) {
      if (contributes(request, peer)) {
        steps.add(new Step.Await(peer, READY));
      }
    }
    long start = shares.start(rank);
    long length = shares.length(rank);
    JoinTree tree = Parts.laneTree(request, (holder, index) -> input(holder, index, start, length));
    steps.add(new Step.Reduce(share(rank, shares, rank), tree));
    Parts.finish(steps, request, share(rank, shares, rank));
    for (int peer : peers) {
      steps.add(new Step.Signal(peer, JOINED));
    }
  }
}
