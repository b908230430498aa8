package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.function.IntFunction;

/// Messages to the next rank only.
///
/// @param request what is done
/// @param chunks the parts that go round
record Ring(CollectiveRequest request, Chunks chunks) {
  int next(int rank) {
    return (rank + 1) % request.ranks();
  }

  int before(int rank) {
    return (rank + request.ranks() - 1) % request.ranks();
  }

  Cut parts() {
    return chunks.parts();
  }

  /// Returns the part that leaves a rank at a hop of the reduce-scatter: part `p` starts on the
  /// rank after `p` and collects contributions rank by rank, ending on rank `p`.
  int leaving(int rank, int hop) {
    return Math.floorMod(rank - 1 - hop, request.ranks());
  }

  /// Returns the part that comes to a rank at a hop of the reduce-scatter.
  int coming(int rank, int hop) {
    return Math.floorMod(rank - 2 - hop, request.ranks());
  }

  /// Returns whether a part holds a contribution when it leaves a rank at a hop.
  boolean holdsAnything(int rank, int hop) {
    for (int back = 0; back <= hop; back++) {
      if (Parts.contributes(request, Math.floorMod(rank - back, request.ranks()))) {
        return true;
      }
    }
    return false;
  }

  /// Sends every rank's part all the way round.
  ///
  /// @param own where the rank's own part is
  /// @param place where parts go
  void allGather(Steps steps, int rank, Range own, IntFunction<Range> place) {
    int ranks = request.ranks();
    for (int hop = 0; hop < ranks - 1; hop++) {
      int leaving = Math.floorMod(rank - hop, ranks);
      int coming = Math.floorMod(rank - hop - 1, ranks);
      Range from = hop == 0 ? own : place.apply(leaving);
      for (int chunk = 0;
          chunk < Math.max(chunks.number(leaving), chunks.number(coming));
          chunk++) {
        if (chunk < chunks.number(leaving)) {
          steps.send(next(rank), chunks.of(from, leaving, chunk));
        }
        if (chunk < chunks.number(coming)) {
          steps.receive(before(rank), chunks.of(place.apply(coming), coming, chunk));
        }
      }
    }
  }
}
