package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import dev.lockstep.interrupt.Pause;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/// The lock of an endpoint. Whoever has it may be inside libfabric, and one provider has been seen
/// not to return from there: `shm` spins for a lock in memory that it shares with a peer, for good
/// if the peer died with it. So nobody waits for the lock without end.
final class EndpointLock {
  /// How often to look before sleeping between looks.
  private static final int SPINS = 1000;

  private static final long PAUSE_NANOS = TimeUnit.MICROSECONDS.toNanos(50);

  /// The most that counts of one pause: a process that was stopped meanwhile has not waited.
  private static final long MOST_OF_A_PAUSE = TimeUnit.MILLISECONDS.toNanos(2);

  private final String transport;
  private final long mostNanos;

  private final AtomicBoolean held = new AtomicBoolean();

  /// Whether somebody has waited long enough for whoever has the lock: nobody else has to.
  private volatile boolean lost;

  /// @param transport for people
  /// @param most how long a call of libfabric may take
  EndpointLock(String transport, Duration most) {
    this.transport = transport;
    this.mostNanos = most.toNanos();
  }

  /// Takes the lock if it is free.
  boolean tryHold() {
    return held.compareAndSet(false, true);
  }

  /// Waits for the lock.
  ///
  /// @throws TransportException if whoever has it does not come back
  void hold() {
    for (int i = 0; i < SPINS; i++) {
      if (tryHold()) {
        return;
      }
      Thread.onSpinWait();
    }
    try (Pause pause = new Pause()) {
      holdLater(pause);
    }
  }

  private void holdLater(Pause pause) {
    long waited = 0;
    long before = System.nanoTime();
    while (!tryHold()) {
      if (lost || waited > mostNanos) {
        lost = true;
        throw new TransportException(
            transport,
            "libfabric does not return from a call: transport=%s, waitedMillis=%d (end this process: until then its memory cannot be given back)"
                .formatted(transport, TimeUnit.NANOSECONDS.toMillis(mostNanos)),
            null);
      }
      pause.park(PAUSE_NANOS);
      long now = System.nanoTime();
      waited += Math.min(now - before, MOST_OF_A_PAUSE);
      before = now;
    }
  }

  void letGo() {
    if (lost) {
      lost = false;
    }
    held.setRelease(false);
  }
}
