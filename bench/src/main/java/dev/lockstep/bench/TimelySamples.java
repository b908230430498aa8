package dev.lockstep.bench;

import dev.lockstep.collective.PreparedCollective;
import java.util.List;

/// Times operations that all ranks begin at once, and again those that a rank began late.
///
/// Whoever is late says so by a time that is greater than any other: as the slowest rank's time
/// counts, every rank sees it, and all repeat the same operations.
final class TimelySamples {
  /// The time of an operation that this rank began late.
  static final double LATE = Double.POSITIVE_INFINITY;

  /// Of so many operations one may be begun late before the ranks give each other more time.
  private static final int PART = 2;

  private final WarmUp.Slowest slowest;
  private final Runnable later;

  /// Makes the samples of one rank.
  ///
  /// @param later makes ranks begin later after they have agreed to; called by all ranks alike
  TimelySamples(WarmUp.Slowest slowest, Runnable later) {
    this.slowest = slowest;
    this.later = later;
  }

  /// Times operations one after another, again and again, and fills in the slowest rank's time of
  /// each; all ranks together.
  ///
  /// @param trial returns [#LATE] where this rank has begun late
  /// @return how often an operation was repeated, the same on every rank
  long time(List<PreparedCollective> operations, WarmUp.Trial trial, double[][] nanos) {
    WarmUp.time(operations, trial, nanos);
    long repeated = 0;
    for (int which = 0; which < nanos.length; which++) {
      repeated += settle(operations.get(which), trial, nanos[which]);
    }
    return repeated;
  }

  private long settle(PreparedCollective operation, WarmUp.Trial trial, double[] nanos) {
    slowest.of(nanos);
    int tried = nanos.length;
    int late = late(nanos);
    long repeated = 0;
    while (late > 0) {
      if (late * PART >= tried) {
        later.run();
      }
      for (int i = 0; i < nanos.length; i++) {
        if (nanos[i] == LATE) {
          nanos[i] = trial.nanos(operation, i);
        }
      }
      repeated += late;
      tried = late;
      slowest.of(nanos);
      late = late(nanos);
    }
    return repeated;
  }

  private static int late(double[] nanos) {
    int late = 0;
    for (double each : nanos) {
      late += each == LATE ? 1 : 0;
    }
    return late;
  }
}
