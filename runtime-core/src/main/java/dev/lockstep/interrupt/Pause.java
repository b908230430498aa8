package dev.lockstep.interrupt;

import java.util.concurrent.locks.LockSupport;

/// The pauses of one wait in a thread whose interrupts end nothing. Nobody can be parked with the
/// interrupt flag set: the wait would take a whole core. So each pause collects the flag, and
/// closing gives it back.
///
/// Confined to the thread that waits. Pausing allocates nothing; closed, it serves the next wait.
public final class Pause implements AutoCloseable {
  private boolean interrupted;

  /// Makes the pauses of a wait that begins.
  public Pause() {}

  /// Parks the thread. It may wake early: whoever waits looks again for what it waits for.
  ///
  /// @param nanos how long at the most
  public void park(long nanos) {
    LockSupport.parkNanos(nanos);
    interrupted |= Thread.interrupted();
  }

  /// Interrupts the thread again if it was interrupted before a pause or in one.
  @Override
  public void close() {
    if (interrupted) {
      interrupted = false;
      Thread.currentThread().interrupt();
    }
  }
}
