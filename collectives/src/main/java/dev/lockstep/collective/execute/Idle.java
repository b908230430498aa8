package dev.lockstep.collective.execute;

import java.util.concurrent.locks.LockSupport;

/// How a thread waits: it spins while an answer may come in a microsecond, then yields while other
/// ranks may want its core, then parks. Allocates nothing; threads may share one.
///
/// Where the answer must come from a rank behind this one on its core, every look at memory only
/// delays it. So a rank yields after one look for as long as yields let somebody else run. Whether
/// there is a core for each is only where this starts: ranks that are not bound may meet on one.
final class Idle {
  // A pause keeps the core for up to a hundred cycles: too long for an answer that is one hop away.
  private static final int EAGER_SPINS = 64;

  // About 10 us: longer than a few hops. A rank that is to answer may stand behind this one on its
  // core, even where there are cores enough; until that is noticed a hop takes as long as this.
  private static final int SPINS = 150;

  // A yield with nobody else to run takes half a microsecond: about 1 ms in all.
  private static final int YIELDS = 2_000;

  // Handing a core over and getting it back takes longer, a yield with nobody else to run does not.
  private static final long HANDED_OVER_NANOS = 1_000;

  // For how many yields a rank takes it that it shares its core. Where it does not, that costs a
  // wait the half microsecond of a yield.
  private static final int SHARED_YIELDS = 64;

  // Of those yields the last are timed. Two looks at the clock take 50 ns, for which every rank of
  // this core waits: where a yield has handed the core over, the next ones are taken to do so too.
  private static final int TIMED_YIELDS = 48;

  // As short as Linux parks a thread.
  private static final long PARK_NANOS = 50_000;

  // A rank that computes on this core has it for some slices: whoever waits looks at clocks and
  // failures after each yield then.
  private static final long SLOW_NANOS = 1_000_000;

  private boolean slow;

  /// Yields for which the core is taken to be shared. Threads race for it, which does no harm.
  private int shared;

  /// Makes the strategy of a rank.
  ///
  /// @param mayHaveACore whether there may be a core for this rank alone
  Idle(boolean mayHaveACore) {
    this.shared = mayHaveACore ? 0 : SHARED_YIELDS;
  }

  /// Returns whether another rank is taken to wait for this core.
  boolean isShared() {
    return shared > 0;
  }

  /// Waits a little: the longer, the more often there was nothing to do.
  ///
  /// An interrupt ends no wait, but nobody can be parked with it: who waits for more than a
  /// millisecond takes it, and gives it back in the end.
  ///
  /// @param times how often in a row there was nothing to do
  /// @return whether the thread was interrupted, and is not any more
  boolean idle(int times) {
    if (isSpinning(times)) {
      if (times >= EAGER_SPINS) {
        Thread.onSpinWait();
      }
    } else if (times < SPINS + YIELDS) {
      yieldCore();
    } else {
      LockSupport.parkNanos(PARK_NANOS);
      return Thread.interrupted();
    }
    return false;
  }

  /// Interrupts the thread again where it was while it waited.
  static void passOn(boolean interrupted) {
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  @SuppressWarnings("ThreadPriorityCheck") // ranks that share a core hand it to each other
  private void yieldCore() {
    if (isTimed()) {
      long before = System.nanoTime();
      Thread.yield();
      yielded(System.nanoTime() - before);
    } else {
      Thread.yield();
      yielded();
    }
  }

  /// Returns whether the next yield is to be timed: not if one has just handed the core over, but
  /// always while a rank that computes has it for long.
  boolean isTimed() {
    return shared <= TIMED_YIELDS || slow;
  }

  /// Learns nothing from a yield that was not timed.
  void yielded() {
    if (shared > 0) {
      shared--; // another thread may have taken the last one meanwhile
    }
  }

  /// Learns from how long a yield took whether somebody else wants this core.
  void yielded(long nanos) {
    slow = nanos > SLOW_NANOS;
    if (nanos > HANDED_OVER_NANOS) {
      shared = SHARED_YIELDS;
    } else if (shared > 0) {
      shared--;
    }
  }

  /// Returns whether waiting has not yet become a matter of the scheduler.
  boolean isSpinning(int times) {
    return !isShared() && times < SPINS;
  }

  /// Returns whether it is time to look at clocks and failures.
  boolean isTimeToCheck(int times) {
    return (times & 63) == 63 || times >= SPINS + YIELDS || slow;
  }
}
