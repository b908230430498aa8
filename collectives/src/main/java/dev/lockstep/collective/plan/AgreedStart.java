package dev.lockstep.collective.plan;

import java.util.concurrent.TimeUnit;
import java.util.function.LongUnaryOperator;

/// Lets ranks begin what is timed at the same moment.
///
/// Ranks leave a barrier one after another, as far apart as a word takes from core to core, which
/// is what a short collective takes too: who leaves first, and whether that is the root, would
/// decide what is measured. Ranks of one host have one clock, so they agree on a time, the latest
/// of what each proposes, and wait for it. A rank that has agreed too late, or was away when the
/// time came, says so. Where any sees less than a core for every rank, or they have not one host,
/// they start when they leave a barrier. Confined to the thread that makes the communicator's
/// calls.
public final class AgreedStart {
  /// From a rank's proposal to the start: longer than ranks in step take to agree.
  private static final long AHEAD_NANOS = 5_000;

  /// If not even this is long enough, ranks do not run side by side.
  private static final long MOST_AHEAD_NANOS = 1_000_000;

  /// A start that is further away is by another clock.
  private static final long FAR_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

  /// Who begins this much later than agreed was away: a look at the clock takes far less.
  private static final long LATE_NANOS = 200;

  private final Runnable barrier;
  private final LongUnaryOperator greatest;
  private final boolean eachHasACore;
  private boolean agrees;
  private long aheadNanos = AHEAD_NANOS;

  /// Makes the start of one rank; all ranks together.
  ///
  /// @param barrier waits for all ranks
  /// @param greatest returns the greatest of what all ranks give it
  /// @param mayHaveACore whether this rank sees all ranks on its host and a core for each of them
  public AgreedStart(Runnable barrier, LongUnaryOperator greatest, boolean mayHaveACore) {
    this.barrier = barrier;
    this.greatest = greatest;
    this.eachHasACore = greatest.applyAsLong(mayHaveACore ? 0 : 1) == 0;
    this.agrees = eachHasACore;
  }

  /// Waits until every rank may begin; all ranks together.
  ///
  /// @return whether this rank is in time
  public boolean await() {
    if (!agrees) {
      barrier.run();
      return true;
    }
    long start = greatest.applyAsLong(System.nanoTime() + aheadNanos);
    long now = System.nanoTime();
    if (start - now > FAR_NANOS) {
      return false;
    }
    while (now < start) {
      Thread.onSpinWait();
      now = System.nanoTime();
    }
    return now - start < LATE_NANOS;
  }

  /// Returns whether all ranks are on one host, and each can have a core to itself there; alike on
  /// all.
  public boolean eachHasACore() {
    return eachHasACore;
  }

  /// Returns whether ranks begin at a time that they have agreed on; alike on all.
  public boolean agrees() {
    return agrees;
  }

  /// Gives the ranks more time to agree from now on; all ranks together.
  ///
  /// @return false if they have the most already
  public boolean later() {
    boolean more = 2 * aheadNanos <= MOST_AHEAD_NANOS;
    aheadNanos *= more ? 2 : 1;
    return more;
  }

  /// Agrees on nothing any more: ranks begin when they leave a barrier; all ranks together.
  public void giveUp() {
    agrees = false;
  }

  /// Forgets how late ranks were; all ranks together.
  public void anew() {
    agrees = eachHasACore;
    aheadNanos = AHEAD_NANOS;
  }
}
