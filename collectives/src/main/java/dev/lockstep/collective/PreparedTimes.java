package dev.lockstep.collective;

import dev.lockstep.collective.execute.Program;
import dev.lockstep.collective.execute.Progress;
import dev.lockstep.collective.schedule.Schedule;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalDouble;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// A prepared collective that looks at the clock, and says when it is closed how long its runs were
/// predicted to take and how long they took. Made where debug messages are on when it is prepared:
/// the plain one pays nothing for this.
final class PreparedTimes extends Prepared {
  private static final Logger LOG = LoggerFactory.getLogger(PreparedTimes.class);
  private static final int KEPT = 256;

  private final double[] last = new double[KEPT];
  private long runs;

  PreparedTimes(
      Progress progress,
      Schedule schedule,
      OptionalDouble predicted,
      Program program,
      Memory memory,
      List<Mapped> mapped,
      String callSite,
      long timeoutNanos) {
    super(progress, schedule, predicted, program, memory, mapped, callSite, timeoutNanos);
  }

  static boolean areWanted() {
    return LOG.isDebugEnabled();
  }

  @Override
  void run(long timeout) {
    long start = System.nanoTime();
    super.run(timeout);
    last[(int) (runs++ % KEPT)] = System.nanoTime() - start;
  }

  @Override
  public void close() {
    boolean first = !isClosed();
    super.close();
    if (first && runs > 0) {
      double[] times = Arrays.copyOf(last, (int) Math.min(runs, KEPT));
      Arrays.sort(times);
      LOG.debug(
          "collective has run: request={}, algorithm={}, runs={}, predictedNanos={},"
              + " medianNanos={}",
          schedule().request().words(),
          schedule().algorithm(),
          runs,
          Math.round(predictedNanos().orElse(-1)),
          Math.round(times[times.length / 2]));
    }
  }
}
