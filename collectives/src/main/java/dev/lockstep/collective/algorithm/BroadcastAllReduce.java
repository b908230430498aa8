package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.ScratchSpace;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.collective.schedule.Step;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// All-reduce of few bytes by messages: every rank sends all of its contributions to every other
/// rank, and every rank joins all of them.
///
/// Realises the lane tree T, for any lanes on any ranks. One message deep, which nothing else is.
/// With `P` ranks, `c` contributions of its own, `C` in all and `S` bytes a rank sends `(P-1) * c *
/// S` and reads `C * S`. Scratch: all contributions of the others.
public final class BroadcastAllReduce implements Algorithm {
  /// Longest contribution: what goes through a mailbox beside its signal.
  private static final long LONGEST_BYTES = 1024;

  /// Most bytes that a rank receives; beyond, what is saved in waiting is lost in copying.
  private static final long MOST_BYTES = 8 * 1024;

  /// Makes the algorithm.
  public BroadcastAllReduce() {}

  @Override
  public String name() {
    return "broadcast-all-reduce";
  }

  @Override
  public Optional<String> refusal(CollectiveRequest request) {
    return Parts.refuseOtherKinds(request, CollectiveKind.ALL_REDUCE).or(() -> refuseMuch(request));
  }

  private static Optional<String> refuseMuch(CollectiveRequest request) {
    long bytes = Math.multiplyExact(request.total(), (long) request.dtype().bytes());
    long contributions = 0;
    for (int rank = 0; rank < request.ranks(); rank++) {
      contributions += request.inputs(rank);
    }
    return bytes <= LONGEST_BYTES && bytes * contributions <= MOST_BYTES
        ? Optional.empty()
        : Optional.of("only few bytes are worth sending to every rank");
  }

  @Override
  public Schedule schedule(CollectiveRequest request) {
    Parts.check(this, request);
    return Schedule.of(
        name(),
        request,
        rank -> steps(request, rank),
        rank -> scratch(request, rank),
        rank -> Parts.alikeByRotation(request, rank));
  }

  private static List<ScratchSpace> scratch(CollectiveRequest request, int rank) {
    long arriving = 0;
    for (int peer : peers(rank, request.ranks())) {
      arriving += request.inputs(peer);
    }
    long elements = arriving * request.total();
    return elements == 0 ? List.of() : List.of(new ScratchSpace(elements, false));
  }

  private static List<Step> steps(CollectiveRequest request, int rank) {
    List<Step> steps = new ArrayList<>();
    long elements = request.total();
    if (elements == 0) {
      return steps;
    }
    int[] peers = peers(rank, request.ranks());
    for (int peer : peers) {
      for (int index = 0; index < request.inputs(peer); index++) {
        steps.add(new Step.Receive(peer, arrived(request, rank, peer, index)));
      }
    }
    for (int peer : peers) {
      for (int index = 0; index < request.inputs(rank); index++) {
        steps.add(new Step.Send(peer, input(rank, index, 0, elements)));
      }
    }
    Range result = output(rank, 0, elements);
    steps.add(
        new Step.Reduce(
            result,
            Parts.laneTree(
                request,
                (holder, index) ->
                    holder == rank
                        ? input(rank, index, 0, elements)
                        : arrived(request, rank, holder, index))));
    Parts.finish(steps, request, result);
    return steps;
  }

  /// Returns where a peer's contribution arrives.
  private static Range arrived(CollectiveRequest request, int rank, int peer, int index) {
    long position = index;
    for (int before = 0; before < peer; before++) {
      position += before == rank ? 0 : request.inputs(before);
    }
    long elements = request.total();
    return new Range(rank, new Space.Scratch(0), position * elements, elements);
  }
}
