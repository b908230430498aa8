package dev.lockstep.collective.execute;

import java.util.concurrent.locks.LockSupport;

/// How a thread waits: it spins while an answer may come in a microsecond, then yields while other
/// ranks may want its core, then parks. Stateless, allocates nothing.
final class Idle {
  // A pause keeps the core for up to a hundred cycles: too long for an answer that is one hop away.
  private static final int EAGER_SPINS = 64;

  // About 10 us: longer than a few hops. A rank that is to answer may stand behind this one on its
  // core, even where there are cores enough: then every hop takes as long as this.
  private static final int SPINS = 150;

  // Ranks that share cores must let each other run at once.
  private static final int CROWDED_SPINS = 20;

  // A yield with nobody else to run takes half a microsecond: about 1 ms in all.
  private static final int YIELDS = 2_000;

  // As short as Linux parks a thread.
  private static final long PARK_NANOS = 50_000;

  private final int spins;

  /// Makes the strategy for `ranks` ranks on this host.
  Idle(int ranks) {
    this.spins = ranks <= Runtime.getRuntime().availableProcessors() ? SPINS : CROWDED_SPINS;
  }

  /// Waits a little: the longer, the more often there was nothing to do.
  ///
  /// @param times how often in a row there was nothing to do
  @SuppressWarnings("ThreadPriorityCheck") // ranks that share a core hand it to each other
  void idle(int times) {
    if (times < spins) {
      if (times >= EAGER_SPINS) {
        Thread.onSpinWait();
      }
    } else if (times < spins + YIELDS) {
      Thread.yield();
    } else {
      LockSupport.parkNanos(PARK_NANOS);
    }
  }

  /// Returns whether waiting has not yet become a matter of the scheduler.
  boolean isSpinning(int times) {
    return times < spins;
  }

  /// Returns whether it is time to look at clocks and failures.
  boolean isTimeToCheck(int times) {
    return (times & 63) == 63 || times >= spins + YIELDS;
  }
}
