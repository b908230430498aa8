package dev.lockstep.bench;

import dev.lockstep.collective.PreparedCollective;
import java.util.List;

/// Times operations that all ranks begin at once, and again those that a rank began late.
///
/// Whoever is late says so by a time that is greater than any other: as the slowest rank's time
/// counts, every rank sees it, and all repeat the same operations. Where ranks are late again and
/// again, however much time they are given, all operations are timed again from a barrier: samples
/// of two kinds of start are not mixed.
final class TimelySamples {
  /// How ranks begin an operation; all ranks together change it.
  interface Start {
    /// Returns whether they begin at a time that they have agreed on, not as they leave a barrier.
    boolean isCommon();

    /// Gives them more time to agree from now on.
    ///
    /// @return false if they have the most already
    boolean later();

    /// Rests a moment, so that the system places the ranks anew; then they have as much time to
    /// agree as before.
    void rest();

    /// Lets them begin as they leave a barrier from now on.
    void atBarrier();
  }

  /// The time of an operation that this rank began late.
  static final double LATE = Double.POSITIVE_INFINITY;

  /// Of so many operations one may be begun late before the ranks change something: give each other
  /// more time, or rest. Whether that has helped, a few of them show.
  private static final int PART = 2;

  /// Where half of so many are late in one round, with the most time that there is, it is no
  /// accident. So many are tried to see whether a change has helped.
  private static final int MANY = 8;

  /// Nor is it where half of fewer are, so many rounds in a row.
  private static final int ROUNDS = 3;

  /// Two ranks that are not bound may be on one core, while compilers have the other: then one is
  /// always late. They stay there as long as both compute, so they rest, so often, before they give
  /// up.
  private static final int RESTS = 4;

  private final WarmUp.Slowest slowest;
  private final Start start;

  /// Makes the samples of one rank.
  TimelySamples(WarmUp.Slowest slowest, Start start) {
    this.slowest = slowest;
    this.start = start;
  }

  /// Times operations one after another, again and again, and fills in the slowest rank's time of
  /// each; all ranks together. Afterwards [Start#isCommon] says how all of them began.
  ///
  /// @param trial returns [#LATE] where this rank has begun late
  /// @return how often an operation was repeated, the same on every rank
  long time(List<PreparedCollective> operations, WarmUp.Trial trial, double[][] nanos) {
    long repeated = 0;
    if (start.isCommon()) {
      WarmUp.time(operations, trial, nanos);
      for (int which = 0; which < nanos.length && start.isCommon(); which++) {
        repeated += settle(operations.get(which), trial, nanos[which]);
      }
      if (start.isCommon()) {
        return repeated;
      }
      repeated += (long) nanos.length * nanos[0].length;
    }
    WarmUp.time(operations, trial, nanos);
    for (double[] each : nanos) {
      slowest.of(each);
    }
    return repeated;
  }

  /// Repeats what began late until nothing does, or there is no hope of it.
  private long settle(PreparedCollective operation, WarmUp.Trial trial, double[] nanos) {
    slowest.of(nanos);
    int tried = nanos.length;
    int late = late(nanos);
    int rounds = 0;
    int rests = 0;
    long repeated = 0;
    int lateOfTried = late;
    while (late > 0) {
      int most = MANY;
      if (lateOfTried * PART < tried) {
        rounds = 0;
        most = late;
      } else if (start.later()) {
        rounds = 0;
      } else if (tried >= MANY || ++rounds >= ROUNDS) {
        if (rests == RESTS) {
          start.atBarrier();
          return repeated;
        }
        start.rest();
        rests++;
        rounds = 0;
      }
      tried = 0;
      for (int i = 0; i < nanos.length && tried < most; i++) {
        if (nanos[i] == LATE) {
          nanos[i] = trial.nanos(operation, i);
          tried++;
        }
      }
      repeated += tried;
      slowest.of(nanos);
      int onTime = late - late(nanos);
      late -= onTime;
      lateOfTried = tried - onTime;
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
