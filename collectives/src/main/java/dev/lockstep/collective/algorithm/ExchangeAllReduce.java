package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.peers;
import static dev.lockstep.collective.algorithm.Parts.share;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.ScratchSpace;
import dev.lockstep.collective.schedule.Shares;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.collective.schedule.Step;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// All-reduce by messages over any transport: all-to-all reduce-scatter, where every rank gets all
/// contributions to its share and joins them locally, then all-gather of the joined shares.
///
/// Realises the lane tree T, for any lanes on any ranks. Two messages deep. With `P` ranks, `c`
/// contributions of its own and `S` bytes a rank sends `(P-1)/P * S * (c + 1)`: what a ring sends
/// where `c` is 1. Scratch: all contributions of the others to its share.
public final class ExchangeAllReduce implements Algorithm {
  /// Makes the algorithm.
  public ExchangeAllReduce() {}

  @Override
  public String name() {
    return "exchange-all-reduce";
  }

  @Override
  public Optional<String> refusal(CollectiveRequest request) {
    return Parts.refuseOtherKinds(request, CollectiveKind.ALL_REDUCE);
  }

  @Override
  public Schedule schedule(CollectiveRequest request) {
    Parts.check(this, request);
    Shares shares = Parts.shares(request);
    return Schedule.of(
        name(),
        request,
        rank -> steps(request, shares, rank),
        rank -> scratch(request, shares, rank),
        rank -> Parts.alikeByRotation(request, rank));
  }

  private static List<ScratchSpace> scratch(CollectiveRequest request, Shares shares, int rank) {
    long arriving = 0;
    for (int peer : peers(rank, request.ranks())) {
      arriving += request.inputs(peer);
    }
    long elements = arriving * shares.length(rank);
    return elements == 0 ? List.of() : List.of(new ScratchSpace(elements, false));
  }

  private static List<Step> steps(CollectiveRequest request, Shares shares, int rank) {
    List<Step> steps = new ArrayList<>();
    scatterContributions(steps, request, shares, rank);
    gatherShares(steps, request, shares, rank);
    return steps;
  }

  private static void scatterContributions(
      List<Step> steps, CollectiveRequest request, Shares shares, int rank) {
    long length = shares.length(rank);
    int[] peers = peers(rank, request.ranks());
    for (int peer : peers) {
      for (int index = 0; length > 0 && index < request.inputs(peer); index++) {
        steps.add(new Step.Receive(peer, arrived(request, shares, rank, peer, index)));
      }
    }
    for (int peer : peers) {
      for (int index = 0; shares.length(peer) > 0 && index < request.inputs(rank); index++) {
        steps.add(new Step.Send(peer, input(rank, index, shares.start(peer), shares.length(peer))));
      }
    }
    if (length > 0) {
      JoinTree tree =
          Parts.laneTree(
              request,
              (holder, index) ->
                  holder == rank
                      ? input(rank, index, shares.start(rank), length)
                      : arrived(request, shares, rank, holder, index));
      steps.add(new Step.Reduce(share(rank, shares, rank), tree));
      Parts.finish(steps, request, share(rank, shares, rank));
    }
  }

  private static void gatherShares(
      List<Step> steps, CollectiveRequest request, Shares shares, int rank) {
    int[] peers = peers(rank, request.ranks());
    for (int peer : peers) {
      if (shares.length(rank) > 0) {
        steps.add(new Step.Send(peer, share(rank, shares, rank)));
      }
    }
    for (int peer : peers) {
      if (shares.length(peer) > 0) {
        steps.add(new Step.Receive(peer, share(rank, shares, peer)));
      }
    }
  }

  /// Returns where a peer's contribution to this rank's share arrives.
  private static Range arrived(
      CollectiveRequest request, Shares shares, int rank, int peer, int index) {
    long position = index;
    for (int before = 0; before < peer; before++) {
      position += before == rank ? 0 : request.inputs(before);
    }
    long length = shares.length(rank);
    return new Range(rank, new Space.Scratch(0), position * length, length);
  }
}
