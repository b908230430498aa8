package dev.lockstep.deadline;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/// How long things take on a machine that has other work too. Seconds are promised for a machine
/// that runs: where whoever measures stands still itself, a moment of that counts.
public final class RunningTime {
  private static final long LOOK_MILLIS = 2;
  private static final long MOST_NANOS = TimeUnit.MILLISECONDS.toNanos(2 * LOOK_MILLIS);

  private RunningTime() {}

  /// Waits for the end of a process.
  ///
  /// @param patience how long, pauses and all
  /// @return how long it took; empty if the process has not ended
  public static Optional<Duration> untilEnd(Process process, Duration patience)
      throws InterruptedException {
    long start = System.nanoTime();
    long last = start;
    long counted = 0;
    boolean ended;
    do {
      ended = process.waitFor(LOOK_MILLIS, TimeUnit.MILLISECONDS);
      long now = System.nanoTime();
      counted += Math.min(now - last, MOST_NANOS);
      last = now;
    } while (!ended && last - start < patience.toNanos());
    return ended ? Optional.of(Duration.ofNanos(counted)) : Optional.empty();
  }
}
