package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.schedule.Shares;

/// Contiguous parts of a range of elements.
interface Cut {
  /// Returns the first element of a part.
  long start(int part);

  /// Returns the number of elements of a part.
  long length(int part);

  /// Returns the parts that belong to the ranks by a request's counts.
  static Cut byCounts(CollectiveRequest request) {
    return of(request.counts());
  }

  /// Returns parts that lie one after another.
  static Cut of(Counts counts) {
    return new Cut() {
      @Override
      public long start(int part) {
        return counts.start(part);
      }

      @Override
      public long length(int part) {
        return counts.get(part);
      }
    };
  }

  /// Returns a cut of all elements into even shares.
  static Cut evenly(CollectiveRequest request, int parts) {
    return of(0, Shares.atCacheLines(request.total(), parts, request.dtype().bytes()));
  }

  /// Returns a cut of the elements from a first one on.
  static Cut of(long first, Shares shares) {
    return new Cut() {
      @Override
      public long start(int part) {
        return first + shares.start(part);
      }

      @Override
      public long length(int part) {
        return shares.length(part);
      }
    };
  }
}
