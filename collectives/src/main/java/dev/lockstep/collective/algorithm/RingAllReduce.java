package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.contributes;
import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.share;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Shares;
import dev.lockstep.collective.schedule.Step;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// All-reduce by messages to the next rank only: ring reduce-scatter, then ring all-gather
/// (Patarasuk and Yuan, 2009).
///
/// Realises a chain over the ranks, rotated from share to share: relaxed mode only. `2(P-1)`
/// messages deep; a rank sends `2(P-1)/P * S` bytes, whatever it contributes. No scratch.
public final class RingAllReduce implements Algorithm {
  /// Makes the algorithm.
  public RingAllReduce() {}

  @Override
  public String name() {
    return "ring-all-reduce";
  }

  @Override
  public Optional<String> refusal(CollectiveRequest request) {
    Optional<String> mode =
        request.mode() == Mode.RELAXED || request.ranks() == 1
            ? Optional.empty()
            : Optional.of("a ring does not realise the lane tree");
    return Parts.refuseOtherKinds(request, CollectiveKind.ALL_REDUCE).or(() -> mode);
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
    joinOwn(steps, request, rank);
    reduceScatter(steps, request, shares, rank);
    allGather(steps, shares, rank);
    return steps;
  }

  /// Puts the rank's own contribution into its output.
  private static void joinOwn(List<Step> steps, CollectiveRequest request, int rank) {
    long elements = request.total();
    if (elements == 0 || !contributes(request, rank)) {
      return;
    }
    if (request.ranks() == 1) {
      JoinTree tree = Parts.laneTree(request, (_, index) -> input(rank, index, 0, elements));
      steps.add(new Step.Reduce(output(rank, 0, elements), tree));
      Parts.finish(steps, request, output(rank, 0, elements));
      return;
    }
    if (request.inputs(rank) > 1) {
      steps.add(new Step.Reduce(output(rank, 0, elements), chain(request, rank)));
    } else if (!request.inPlace()) {
      steps.add(new Step.Copy(input(rank, 0, 0, elements), output(rank, 0, elements)));
    }
  }

  private static JoinTree chain(CollectiveRequest request, int rank) {
    JoinTree tree = new JoinTree.Leaf(input(rank, 0, 0, request.total()));
    for (int index = 1; index < request.inputs(rank); index++) {
      tree = new JoinTree.Node(tree, new JoinTree.Leaf(input(rank, index, 0, request.total())));
    }
    return tree;
  }

  /// Share `c` starts on rank `c` and collects contributions rank by rank, ending on rank `c - 1`.
  private static void reduceScatter(
      List<Step> steps, CollectiveRequest request, Shares shares, int rank) {
    int ranks = request.ranks();
    int next = (rank + 1) % ranks;
    int before = (rank + ranks - 1) % ranks;
    for (int hop = 0; hop < ranks - 1; hop++) {
      int leaving = Math.floorMod(rank - hop, ranks);
      if (shares.length(leaving) > 0 && holdsAnything(request, leaving, hop)) {
        steps.add(new Step.Send(next, share(rank, shares, leaving)));
      }
      int coming = Math.floorMod(rank - hop - 1, ranks);
      if (shares.length(coming) > 0 && holdsAnything(request, coming, hop)) {
        steps.add(
            contributes(request, rank)
                ? new Step.ReceiveReduce(before, share(rank, shares, coming))
                : new Step.Receive(before, share(rank, shares, coming)));
      }
    }
    if (ranks > 1 && shares.length(next) > 0) {
      Parts.finish(steps, request, share(rank, shares, next));
    }
  }

  /// Returns whether a share that started on rank `first` holds a contribution after some hops.
  private static boolean holdsAnything(CollectiveRequest request, int first, int hops) {
    for (int hop = 0; hop <= hops; hop++) {
      if (contributes(request, (first + hop) % request.ranks())) {
        return true;
      }
    }
    return false;
  }

  private static void allGather(List<Step> steps, Shares shares, int rank) {
    int ranks = shares.parts();
    for (int hop = 0; hop < ranks - 1; hop++) {
      int leaving = Math.floorMod(rank + 1 - hop, ranks);
      if (shares.length(leaving) > 0) {
        steps.add(new Step.Send((rank + 1) % ranks, share(rank, shares, leaving)));
      }
      int coming = Math.floorMod(rank - hop, ranks);
      if (shares.length(coming) > 0) {
        steps.add(new Step.Receive((rank + ranks - 1) % ranks, share(rank, shares, coming)));
      }
    }
  }
}
