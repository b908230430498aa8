package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.READY;
import static dev.lockstep.collective.algorithm.Parts.SWAPPED;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Shares;
import java.util.Optional;

/// All-to-all in place, of equal parts, in memory that all ranks share: what two ranks send to each
/// other is swapped, one half of it by each of the two.
///
/// Two signals deep; a rank reads and writes what it gets, and needs no scratch.
public final class SwapAllToAll extends PlannedAlgorithm {
  /// Makes the algorithm.
  public SwapAllToAll() {
    super("swap-all-to-all", CollectiveKind.ALL_TO_ALL);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    if (!request.inPlace()) {
      return Optional.of("what is sent must stand");
    }
    return request.counts().areEqual()
        ? Parts.noPeerMemory(request)
        : Optional.of("parts differ in size");
  }

  @Override
  Plan plan(CollectiveRequest request) {
    return Plan.of(rank -> steps(request, rank));
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int[] peers = peers(rank, request.ranks());
    for (int peer : peers) {
      if (half(request, peer, rank).elements() > 0) {
        steps.signal(peer, READY);
      }
    }
    for (int peer : peers) {
      Range theirs = half(request, rank, peer);
      if (theirs.elements() > 0) {
        long within = theirs.offset() - request.receiveStart(peer, rank);
        long own = request.receiveStart(rank, peer) + within;
        steps.await(peer, READY);
        steps.swap(output(rank, own, theirs.elements()), theirs);
        steps.signal(peer, SWAPPED);
      }
    }
    for (int peer : peers) {
      if (half(request, peer, rank).elements() > 0) {
        steps.await(peer, SWAPPED);
      }
    }
    return steps;
  }

  /// Returns what of another rank's memory a rank swaps: the lower of two ranks the first half of
  /// what they exchange.
  private static Range half(CollectiveRequest request, int rank, int other) {
    Shares halves = Shares.atCacheLines(request.count(other, rank), 2, request.dtype().bytes());
    int mine = rank < other ? 0 : 1;
    return output(
        other, request.receiveStart(other, rank) + halves.start(mine), halves.length(mine));
  }
}
