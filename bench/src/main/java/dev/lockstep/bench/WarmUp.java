package dev.lockstep.bench;

import dev.lockstep.collective.PreparedCollective;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.TimeUnit;

/// Runs operations before they are timed: as many as asked for, or until they stop getting faster.
/// What is to be measured is the collective, not the virtual machine's start.
///
/// Compilers work beside the ranks and make an operation faster in steps, with plateaus between: so
/// it must not have become faster for a while, longer before the first size than before the others.
final class WarmUp {
  /// Operations at least, where none are asked for.
  static final int LEAST = 5;

  /// How long the ranks must not have become faster: a plateau before the last compiler is done.
  private static final double FIRST_STABLE_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

  private static final double STABLE_NANOS = TimeUnit.MILLISECONDS.toNanos(60);

  /// Operations before the first size at least: compilers look at what has run some thousand times,
  /// however long that took.
  private static final int FIRST_LEAST = 20_000;

  /// How long it may take at most.
  private static final double FIRST_MOST_NANOS = TimeUnit.MILLISECONDS.toNanos(6000);

  private static final double MOST_NANOS = TimeUnit.MILLISECONDS.toNanos(1000);

  /// A round is as long as it takes to see a difference that is none of the clock.
  private static final double ROUND_NANOS = TimeUnit.MILLISECONDS.toNanos(5);

  private static final int MOST_IN_ROUND = 500;

  /// A round that takes less than this part of the fastest one was faster.
  private static final double FASTER = 0.97;

  /// Replaces each number by the greatest of all ranks.
  interface Slowest {
    void of(double[] numbers);
  }

  private final OptionalInt asked;
  private final PreparedCollective barrier;
  private final Slowest slowest;
  private boolean first = true;

  /// Makes the warm-up of one rank.
  ///
  /// @param asked operations of each size; empty to run until they stop getting faster
  /// @param barrier borrowed
  WarmUp(OptionalInt asked, PreparedCollective barrier, Slowest slowest) {
    this.asked = asked;
    this.barrier = barrier;
    this.slowest = slowest;
  }

  /// Runs operations; all ranks together, equally often.
  void run(List<PreparedCollective> operations) {
    if (asked.isPresent()) {
      var _ = round(operations, asked.getAsInt());
      return;
    }
    double stable = first ? FIRST_STABLE_NANOS : STABLE_NANOS;
    double most = first ? FIRST_MOST_NANOS : MOST_NANOS;
    int least = first ? FIRST_LEAST : LEAST;
    first = false;
    double total = round(operations, LEAST);
    int times = (int) Math.clamp(LEAST * ROUND_NANOS / total, 1, MOST_IN_ROUND);
    double best = Double.POSITIVE_INFINITY;
    double since = 0;
    int done = 0;
    while (total < most && (since < stable || done < least)) {
      double nanos = round(operations, times);
      done += times * operations.size();
      total += nanos;
      since += nanos;
      if (nanos < FASTER * best) {
        best = nanos;
        since = 0;
      }
    }
  }

  /// Returns the slowest rank's time.
  private double round(List<PreparedCollective> operations, int times) {
    long start = System.nanoTime();
    for (int i = 0; i < times; i++) {
      for (PreparedCollective operation : operations) {
        operation.run();
        barrier.run();
      }
    }
    double[] nanos = {System.nanoTime() - start};
    slowest.of(nanos);
    return nanos[0];
  }
}
