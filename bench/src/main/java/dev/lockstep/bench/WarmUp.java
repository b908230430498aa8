package dev.lockstep.bench;

import dev.lockstep.collective.PreparedCollective;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/// Runs operations before they are timed: as many as asked for, or until they stop getting faster.
/// What is to be measured is the collective, not the virtual machine's start.
///
/// Compilers work beside the ranks and make an operation faster in steps, with plateaus between: so
/// it must not have become faster for a while, longer before the first size than before the others.
/// An operation is run here by the very code that times it: around one that takes a fifth of a
/// microsecond, a loop that has not been compiled takes longer than what it times.
final class WarmUp {
  /// Operations at least, where none are asked for.
  static final int LEAST = 5;

  /// How long the ranks must not have become faster: a plateau before the last compiler is done.
  private static final double FIRST_STABLE_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

  /// Another size may need code that has not run yet; its compiler shares a core with a rank.
  private static final double STABLE_NANOS = TimeUnit.MILLISECONDS.toNanos(250);

  /// Operations before the first size at least: compilers look at what has run some thousand times,
  /// however long that took.
  private static final int FIRST_LEAST = 20_000;

  /// How long it may take at most, without the rests.
  private static final double FIRST_MOST_NANOS = TimeUnit.MILLISECONDS.toNanos(6000);

  private static final double MOST_NANOS = TimeUnit.MILLISECONDS.toNanos(2000);

  /// A round is as long as it takes to see a difference that is none of the clock.
  private static final double ROUND_NANOS = TimeUnit.MILLISECONDS.toNanos(5);

  private static final int MOST_IN_ROUND = 500;

  /// A compiler shares a core with a rank that is bound to it and gets it when the rank rests: so
  /// long after rounds of as long, before the first size.
  private static final long REST_NANOS = TimeUnit.MILLISECONDS.toNanos(5);

  /// A round that takes less than this part of the fastest one was faster.
  private static final double FASTER = 0.97;

  /// Who asks for as many operations wants them at their final speed: as many are run, and then
  /// more until they stop getting faster.
  private static final int MANY = 1000;

  /// Runs an operation as it is timed: once, or several times in a row.
  interface Trial {
    /// Runs it.
    ///
    /// @param number counts the trials of this operation
    /// @return the time of one in nanoseconds
    double nanos(PreparedCollective operation, int number);
  }

  /// Replaces each number by the greatest of all ranks.
  interface Slowest {
    void of(double[] numbers);
  }

  private final OptionalInt asked;
  private final Slowest slowest;
  private boolean first = true;

  /// Makes the warm-up of one rank.
  ///
  /// @param asked operations of each size; empty to run until they stop getting faster
  WarmUp(OptionalInt asked, Slowest slowest) {
    this.asked = asked;
    this.slowest = slowest;
  }

  /// Runs operations; all ranks together, equally often.
  ///
  /// @param trial runs an operation once and keeps the ranks in step
  void run(List<PreparedCollective> operations, Trial trial) {
    var _ = run(operations, 1, trial);
  }

  /// Runs operations; all ranks together, equally often: as many as asked for, and what the last
  /// trial runs beyond.
  ///
  /// @param perTrial how often a trial runs an operation
  /// @param trial keeps the ranks in step
  /// @return how long the ranks took for one at their fastest, what they do between two included;
  ///   not a number where they did not run until nothing got faster
  double run(List<PreparedCollective> operations, int perTrial, Trial trial) {
    if (asked.isPresent()) {
      var _ = round(operations, trial, Math.ceilDiv(asked.getAsInt(), perTrial));
    }
    return asked.orElse(MANY) >= MANY ? settle(operations, perTrial, trial) : Double.NaN;
  }

  /// Runs operations until they stop getting faster and returns the time of one then.
  private double settle(List<PreparedCollective> operations, int perTrial, Trial trial) {
    double stable = first ? FIRST_STABLE_NANOS : STABLE_NANOS;
    double most = first ? FIRST_MOST_NANOS : MOST_NANOS;
    int least = first ? FIRST_LEAST : LEAST;
    double restAfter = first ? REST_NANOS : Double.POSITIVE_INFINITY;
    first = false;
    double total = round(operations, trial, LEAST);
    int times = (int) Math.clamp(LEAST * ROUND_NANOS / total, 1, MOST_IN_ROUND);
    double best = Double.POSITIVE_INFINITY;
    double since = 0;
    double sinceRest = 0;
    long done = 0;
    while (total < most && (since < stable || done < least)) {
      double nanos = round(operations, trial, times);
      done += (long) times * perTrial * operations.size();
      total += nanos;
      since += nanos;
      sinceRest += nanos;
      if (nanos < FASTER * best) {
        best = nanos;
        since = 0;
      }
      if (sinceRest >= restAfter) {
        LockSupport.parkNanos(REST_NANOS);
        sinceRest = 0;
      }
    }
    return best / ((double) times * perTrial * operations.size());
  }

  /// Returns the slowest rank's time.
  private double round(List<PreparedCollective> operations, Trial trial, int times) {
    double[][] each = new double[operations.size()][times];
    long start = System.nanoTime();
    time(operations, trial, each);
    double[] nanos = {System.nanoTime() - start};
    slowest.of(nanos);
    return nanos[0];
  }

  /// Runs operations one after another, again and again, and fills in the time of each.
  ///
  /// @param nanos as many times as each is to run, by operation
  static void time(List<PreparedCollective> operations, Trial trial, double[][] nanos) {
    for (int i = 0; i < nanos[0].length; i++) {
      for (int which = 0; which < nanos.length; which++) {
        nanos[which][i] = trial.nanos(operations.get(which), i);
      }
    }
  }
}
