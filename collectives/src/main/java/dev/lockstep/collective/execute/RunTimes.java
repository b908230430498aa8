package dev.lockstep.collective.execute;

import dev.lockstep.collective.schedule.Schedule;
import java.util.Arrays;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// How long the runs of a program took, from their turn to their end, to be said beside what was
/// predicted. Made where debug messages are on when the program is: others look at no clock.
/// Confined to whoever moves the communicator; a run allocates nothing.
public final class RunTimes {
  private static final Logger LOG = LoggerFactory.getLogger(RunTimes.class);
  private static final int KEPT = 256;

  private final long[] last = new long[KEPT];
  private long runs;
  private long startNanos;

  private RunTimes() {}

  /// Returns a clock for the runs of one program, null where nobody would read it.
  static @Nullable RunTimes ifWanted() {
    return LOG.isDebugEnabled() ? new RunTimes() : null;
  }

  void start() {
    startNanos = System.nanoTime();
  }

  void end() {
    last[(int) (runs++ % KEPT)] = System.nanoTime() - startNanos;
  }

  /// Says how long the runs took, if there were any that ended well. Nothing is under way.
  ///
  /// @param predicted what a run was to take, in nanoseconds
  public void log(Schedule schedule, OptionalDouble predicted) {
    if (runs == 0) {
      return;
    }
    long[] times = Arrays.copyOf(last, (int) Math.min(runs, KEPT));
    Arrays.sort(times);
    LOG.debug(
        "collective has run: request={}, algorithm={}, runs={}, predictedNanos={}, medianNanos={}",
        schedule.request().words(),
        schedule.algorithm(),
        runs,
        Math.round(predicted.orElse(-1)),
        times[times.length / 2]);
  }
}
