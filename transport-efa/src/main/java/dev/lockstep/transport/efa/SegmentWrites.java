package dev.lockstep.transport.efa;

import org.jspecify.annotations.Nullable;

/// The segments of one rail that are on their way out: whose they are and what memory they hold.
final class SegmentWrites {
  private final @Nullable SendLink[] links = new SendLink[Rail.WRITES];
  private final long[] messages = new long[Rail.WRITES];
  private final long[] bytes = new long[Rail.WRITES];
  private final int[] staging = new int[Rail.WRITES];
  private final CachedRegion[] regions = new CachedRegion[Rail.WRITES];
  private final int[] free = new int[Rail.WRITES];
  private int freeCount;

  SegmentWrites() {
    for (int i = 0; i < Rail.WRITES; i++) {
      free[freeCount++] = i;
    }
  }

  boolean isBusy() {
    return freeCount < Rail.WRITES;
  }

  /// Claims a write, -1 if all are on their way.
  int claim() {
    return freeCount == 0 ? -1 : free[--freeCount];
  }

  /// Gives a write back that was not posted.
  void release(int write) {
    free[freeCount++] = write;
  }

  /// Notes a write that was posted.
  ///
  /// @param stagingSlot of the link that it reads from, -1 for none
  /// @param region memory that it reads from
  void posted(
      int write, SendLink link, long message, long length, int stagingSlot, CachedRegion region) {
    links[write] = link;
    messages[write] = message;
    bytes[write] = length;
    staging[write] = stagingSlot;
    regions[write] = region;
    region.uses++;
  }

  void written(int write) {
    SendLink link = end(write);
    if (link != null) {
      link.written(messages[write], bytes[write], staging[write]);
    }
  }

  /// Ends a write that failed.
  ///
  /// @return its peer
  int failed(int write) {
    SendLink link = end(write);
    if (link == null) {
      return 0;
    }
    link.written(messages[write], 0, staging[write]);
    return link.peer();
  }

  private @Nullable SendLink end(int write) {
    SendLink link = links[write];
    if (link != null) {
      regions[write].uses--;
      links[write] = null;
      release(write);
    }
    return link;
  }

  /// Forgets everything: the endpoint is closed.
  void clear() {
    for (int write = 0; write < Rail.WRITES; write++) {
      end(write);
    }
  }
}
