package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Shares;

/// Contiguous parts of a range of elements.
interface Cut {
  /// Returns the first element of a part.
  long start(int part);

  /// Returns the number of elements of a part.
  long length(int part);

  /// Returns the parts that belong to the ranks by a request's counts.
  static Cut byCounts(CollectiveRequest request) {
    return new Cut() {
      @Override
      public long start(int part) {
        return request.counts().start(part);
      }

      @Override
      public long length(int part) {
        return request.counts().get(part);
      }
    };
  }

  /// Returns a cut of all elements into even shares.
  static Cut evenly(CollectiveRequest request, int parts) {
    Shares shares = Shares.atCacheLines(request.total(), parts, request.dtype().bytes());
    return new Cut() {
      @Override
      public long start(int part) {
        return shares.start(part);
      }

      @Override
      public long length(int part) {
        return shares.length(part);
      }
    };
  }
}
