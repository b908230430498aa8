package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import java.util.Optional;

/// All-reduce of few bytes by messages: every rank sends all of its contributions to every other
/// rank, and every rank joins all of them.
///
/// Realises the lane tree T, for any lanes on any ranks. One message deep, which nothing else is.
/// With `P` ranks, `c` contributions of its own, `C` in all and `S` bytes a rank sends `(P-1) * c *
/// S` and reads `C * S`. Scratch: all contributions of the others.
final class BroadcastAllReduce extends PlannedAlgorithm {
  /// Most bytes that are joined; beyond, what is saved in waiting is lost in copying.
  private static final long MOST_BYTES = 8 * 1024;

  /// Makes the algorithm.
  BroadcastAllReduce() {
    super("broadcast-all-reduce", CollectiveKind.ALL_REDUCE);
  }

  @Override
  public boolean isBrief() {
    return true;
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    long bytes = Math.multiplyExact(request.total(), (long) request.dtype().bytes());
    return bytes <= Schedule.SHORT_BYTES && bytes * contributions(request) <= MOST_BYTES
        ? Optional.empty()
        : Optional.of("only few bytes are worth sending to every rank");
  }

  private static long contributions(CollectiveRequest request) {
    long contributions = 0;
    for (int rank = 0; rank < request.ranks(); rank++) {
      contributions += request.inputs(rank);
    }
    return contributions;
  }

  @Override
  Plan plan(CollectiveRequest request) {
    long contributions = contributions(request);
    return Plan.of(rank -> steps(request, rank))
        .withScratch(rank -> (contributions - request.inputs(rank)) * request.total())
        .withAlike(rank -> Parts.alikeByRotation(request, rank));
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    long elements = request.total();
    if (elements == 0) {
      return steps;
    }
    int[] peers = peers(rank, request.ranks());
    for (int peer : peers) {
      for (int index = 0; index < request.inputs(peer); index++) {
        steps.receive(peer, arrived(request, rank, peer, index));
      }
    }
    for (int peer : peers) {
      for (int index = 0; index < request.inputs(rank); index++) {
        steps.send(peer, input(rank, index, 0, elements));
      }
    }
    Range result = output(rank, 0, elements);
    steps.reduce(
        result,
        Parts.laneTree(
            request,
            (holder, index) ->
                holder == rank
                    ? input(rank, index, 0, elements)
                    : arrived(request, rank, holder, index)));
    steps.finish(request, result);
    return steps;
  }

  /// Returns where a peer's contribution arrives.
  private static Range arrived(CollectiveRequest request, int rank, int peer, int index) {
    long position = index;
    for (int before = 0; before < peer; before++) {
      position += before == rank ? 0 : request.inputs(before);
    }
    return Parts.scratch(rank, position * request.total(), request.total());
  }
}
