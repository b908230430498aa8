package dev.lockstep.collective.execute;

import java.time.Duration;

/// Deadlines as callers name them.
public final class Deadlines {
  /// A hundred years: nanoseconds count them, also when a clock's reading is added.
  private static final Duration LONGEST = Duration.ofDays(36_500);

  private Deadlines() {}

  /// Returns the deadline, at most a hundred years.
  public static Duration countable(Duration deadline) {
    return deadline.compareTo(LONGEST) > 0 ? LONGEST : deadline;
  }

  /// Returns what is left of a deadline, at least a nanosecond.
  ///
  /// @param start when its clock started, see [System#nanoTime]
  public static Duration left(Duration deadline, long start) {
    return Duration.ofNanos(Math.max(1, deadline.toNanos() - (System.nanoTime() - start)));
  }
}
