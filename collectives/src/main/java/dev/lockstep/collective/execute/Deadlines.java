package dev.lockstep.collective.execute;

import java.time.Duration;

/// Deadlines as callers name them.
public final class Deadlines {
  private static final int MOST_DAYS = 36_500;

  /// A hundred years: nanoseconds count them, also when a clock's reading is added.
  private static final Duration LONGEST = Duration.ofDays(MOST_DAYS);

  private Deadlines() {}

  /// Returns the deadline, at most a hundred years.
  public static Duration countable(Duration deadline) {
    return deadline.compareTo(LONGEST) > 0 ? LONGEST : deadline;
  }

  /// Returns the sentence that refuses a deadline that is not positive.
  ///
  /// @param whose for example `rank=0`
  public static String notPositive(String whose, Duration deadline) {
    return "deadline is not positive: %s, timeout=%s (take one above 0; %d days and more are for ever)"
        .formatted(whose, deadline, MOST_DAYS);
  }

  /// Returns what is left of a deadline, at least a nanosecond.
  ///
  /// @param start when its clock started, see [System#nanoTime]
  public static Duration left(Duration deadline, long start) {
    return Duration.ofNanos(Math.max(1, deadline.toNanos() - (System.nanoTime() - start)));
  }
}
