package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.JOINED;
import static dev.lockstep.collective.algorithm.Parts.READY;
import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.graph.ReduceOp;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// All-reduce in memory that all ranks share: each rank joins its share of all contributions where
/// they lie, and writes the result to every rank.
///
/// Realises the lane tree T, for any lanes on any ranks. Two signals deep: contributions are ready
/// and outputs free, shares are written. With `P` ranks, `C` contributions and `S` bytes a rank
/// reads `C/P * S` and writes `S`; nothing is staged. In place each cache line goes from core to
/// core once, to be written where it has come from; to read what a peer has joined
/// ([DirectAllReduce]) takes it there twice, and once more for what is written over what the peer
/// has read.
///
/// A rank's share of every rank's memory is touched by that rank alone.
public final class SpreadAllReduce extends PlannedAlgorithm {
  /// Makes the algorithm.
  public SpreadAllReduce() {
    super("spread-all-reduce", CollectiveKind.ALL_REDUCE);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    if (request.ranks() == 1) {
      return Optional.of("a rank alone spreads nothing");
    }
    return request.reduceOp() instanceof ReduceOp.Avg
        ? Optional.of("an average is divided before others get it")
        : Parts.noPeerMemory(request);
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
      if (shares.length(peer) > 0) {
        steps.signal(peer, READY);
      }
    }
    if (shares.length(rank) > 0) {
      for (int peer : peers) {
        steps.await(peer, READY);
      }
      spreadOwnShare(steps, request, shares, rank);
      for (int peer : peers) {
        steps.signal(peer, JOINED);
      }
    }
    for (int peer : peers) {
      if (shares.length(peer) > 0) {
        steps.await(peer, JOINED);
      }
    }
    return steps;
  }

  private static void spreadOwnShare(Steps steps, CollectiveRequest request, Cut shares, int rank) {
    long start = shares.start(rank);
    long length = shares.length(rank);
    List<Range> everywhere = new ArrayList<>();
    everywhere.add(output(rank, start, length));
    for (int peer : peers(rank, request.ranks())) {
      everywhere.add(output(peer, start, length));
    }
    steps.spread(
        everywhere,
        Parts.laneTree(request, (holder, index) -> input(holder, index, start, length)));
  }
}
