package dev.lockstep.bench;

import java.util.ArrayList;
import java.util.List;

/// The sizes that a run of `lockstep perf` goes through.
///
/// @param minBytes first size
/// @param maxBytes last size
/// @param stepFactor each size is the one before times this; 1 if `stepBytes` is used
/// @param stepBytes each size is the one before plus this; 0 if `stepFactor` is used
record PerfSizes(long minBytes, long maxBytes, int stepFactor, long stepBytes) {
  /// Returns all of them, in bytes.
  List<Long> all() {
    List<Long> sizes = new ArrayList<>();
    long bytes = minBytes;
    while (true) {
      sizes.add(bytes);
      if (isLast(bytes)) {
        return sizes;
      }
      bytes = stepBytes > 0 ? bytes + stepBytes : Math.max(1, bytes) * stepFactor;
    }
  }

  /// Returns whether the size after this one is beyond the last, or beyond a long.
  private boolean isLast(long bytes) {
    return stepBytes > 0
        ? bytes > maxBytes - stepBytes
        : Math.max(1, bytes) > maxBytes / stepFactor;
  }
}
