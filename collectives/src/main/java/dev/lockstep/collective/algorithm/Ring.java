package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Shares;
import java.util.function.IntFunction;

/// Messages to the next rank only. Parts may be sent in chunks, so that a chunk goes on while the
/// next one arrives.
///
/// @param request what is done
/// @param parts what goes round
/// @param chunkBytes most bytes of a message; 0 for no limit
record Ring(CollectiveRequest request, Cut parts, long chunkBytes) {
  /// More messages per part than this gain nothing: the pipeline has been full for long.
  private static final int MOST_CHUNKS = 32;

  int next(int rank) {
    return (rank + 1) % request.ranks();
  }

  int before(int rank) {
    return (rank + request.ranks() - 1) % request.ranks();
  }

  /// Returns how many messages a part takes, at least 1.
  int chunks(int part) {
    long bytes = parts.length(part) * request.dtype().bytes();
    return chunkBytes == 0 ? 1 : Math.clamp(Math.ceilDiv(bytes, chunkBytes), 1, MOST_CHUNKS);
  }

  /// Returns one chunk of a part that lies in a range.
  Range chunk(Range whole, int part, int chunk) {
    Shares chunks = Shares.atCacheLines(parts.length(part), chunks(part), request.dtype().bytes());
    long start = whole.offset() + chunks.start(chunk);
    return new Range(whole.rank(), whole.space(), start, chunks.length(chunk));
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
      for (int chunk = 0; chunk < Math.max(chunks(leaving), chunks(coming)); chunk++) {
        if (chunk < chunks(leaving)) {
          steps.send(next(rank), chunk(from, leaving, chunk));
        }
        if (chunk < chunks(coming)) {
          steps.receive(before(rank), chunk(place.apply(coming), coming, chunk));
        }
      }
    }
  }
}
