package dev.lockstep.collective.plan;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.schedule.Shares;
import java.util.Optional;

/// What a request is timed as where its own schedule has too many steps: a few elements more, such
/// that every rank's share is as long as the longest now is. Ranks are then alike, and one of each
/// kind is simulated; the longest share is what takes the time.
final class EvenShares {
  private EvenShares() {}

  /// Returns the request of even shares next above one whose shares are not; nothing where it cuts
  /// none.
  static Optional<CollectiveRequest> above(CollectiveRequest request) {
    return switch (request.kind()) {
      case ALL_REDUCE, REDUCE, BROADCAST -> {
        Shares shares =
            Shares.atCacheLines(request.total(), request.ranks(), request.dtype().bytes());
        yield shares.isEven() ? Optional.empty() : Optional.of(withShares(request, shares));
      }
      case REDUCE_SCATTER, ALL_GATHER, GATHER, SCATTER, ALL_TO_ALL, BARRIER, SEND_RECEIVE ->
          Optional.empty();
    };
  }

  private static CollectiveRequest withShares(CollectiveRequest request, Shares shares) {
    long longest =
        Math.ceilDiv(shares.elements(), shares.parts() * shares.grain()) * shares.grain();
    return new CollectiveRequest(
        request.kind(),
        request.dtype(),
        request.reduceOp(),
        request.root(),
        Counts.one(longest * shares.parts()),
        request.inPlace(),
        request.topology(),
        request.lanes(),
        request.mode());
  }
}
