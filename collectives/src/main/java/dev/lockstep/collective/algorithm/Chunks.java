package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Shares;
import java.util.Optional;

/// Parts cut into chunks, each of which is a message, so that one goes on while the next arrives.
///
/// @param request what is done
/// @param parts what is cut
/// @param chunkBytes most bytes of a chunk as long as there are not too many; 0 for no limit
record Chunks(CollectiveRequest request, Cut parts, long chunkBytes) {
  /// More messages per part than this gain nothing: the pipeline has been full for long.
  private static final int MOST = 32;

  /// Returns the number of a part's chunks, at least 1.
  int number(int part) {
    long bytes = parts.length(part) * request.dtype().bytes();
    return chunkBytes == 0 ? 1 : Math.clamp(Math.ceilDiv(bytes, chunkBytes), 1, MOST);
  }

  /// Returns why smaller chunks do as well: those of another size are the same ones, since there
  /// are not too many of either, or too many of both.
  ///
  /// @param smallerBytes the other size; 0 if there is none
  /// @param last part, which has about as many elements as the others
  Optional<String> sameAs(long smallerBytes, int last) {
    Chunks smaller = new Chunks(request, parts, smallerBytes);
    boolean same = smaller.number(0) == number(0) && smaller.number(last) == number(last);
    return smallerBytes > 0 && same
        ? Optional.of("chunks would be those of chunkBytes=" + smallerBytes)
        : Optional.empty();
  }

  /// Returns a chunk of a part.
  ///
  /// @param whole where the part starts
  Range of(Range whole, int part, int chunk) {
    Shares chunks = Shares.atCacheLines(parts.length(part), number(part), request.dtype().bytes());
    long start = whole.offset() + chunks.start(chunk);
    return new Range(whole.rank(), whole.space(), start, chunks.length(chunk));
  }
}
