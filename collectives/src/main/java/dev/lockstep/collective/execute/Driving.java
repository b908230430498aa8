package dev.lockstep.collective.execute;

import dev.lockstep.transport.Transport;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// What moves the communicators that share a transport: a communicator and all that were split off.
/// Owns the transport. Thread-safe.
///
/// Whoever waits for a collective moves all of them, one thread at a time; while nobody waits and
/// something was started asynchronously, a daemon thread does. So a collective of one communicator
/// goes on while a rank waits in another.
public final class Driving {
  private static final Logger LOG = LoggerFactory.getLogger(Driving.class);

  // How long the thread leaves the work to those who wait for it before it looks again.
  private static final long LEAVE_TO_DRIVERS_NANOS = 200_000;

  // How long somebody who closes waits for whoever is in the middle of a step.
  private static final long HOLD_PATIENCE_NANOS = 1_000_000_000;

  private final Transport transport;
  private final String name;
  final Idle idle;
  final LongWaits longWaits = new LongWaits();
  private volatile Progress[] communicators = {};
  private volatile @Nullable Thread thread;
  private volatile boolean closed;

  /// Whether somebody is in the middle of a step.
  private final AtomicBoolean held = new AtomicBoolean();

  /// How many threads wait, and so move the communicators.
  private final AtomicInteger drivers = new AtomicInteger();

  /// Makes what moves the communicators of one transport.
  ///
  /// @param transport owned from here on; closed with the last communicator
  /// @param rank this rank in the job
  /// @param mayHaveACore whether there may be a core for this rank alone
  public Driving(Transport transport, int rank, boolean mayHaveACore) {
    this.transport = transport;
    this.name = "lockstep-collectives-" + rank;
    this.idle = new Idle(mayHaveACore);
  }

  /// Returns the transport.
  public Transport transport() {
    return transport;
  }

  synchronized void add(Progress progress) {
    if (closed) {
      throw new IllegalStateException("transport is closed: name=" + transport.name());
    }
    List<Progress> more = new ArrayList<>(List.of(communicators));
    more.add(progress);
    communicators = more.toArray(Progress[]::new);
  }

  /// Forgets a communicator.
  synchronized void remove(Progress progress) {
    List<Progress> fewer = new ArrayList<>(List.of(communicators));
    fewer.remove(progress);
    communicators = fewer.toArray(Progress[]::new);
  }

  /// Closes the transport if no communicator is left. Idempotent.
  public void closeIfUnused() {
    synchronized (this) {
      if (closed || communicators.length > 0) {
        return;
      }
      closed = true;
    }
    LockSupport.unpark(thread);
    transport.close();
  }

  boolean tryHold() {
    return held.compareAndSet(false, true);
  }

  void letGo() {
    held.setRelease(false);
  }

  /// Runs something that must not happen in the middle of a step; also if a step takes too long.
  void whileNobodyMoves(Runnable what) {
    long start = System.nanoTime();
    boolean mine = tryHold();
    while (!mine && System.nanoTime() - start < HOLD_PATIENCE_NANOS) {
      Thread.onSpinWait();
      mine = tryHold();
    }
    try {
      what.run();
    } finally {
      if (mine) {
        letGo();
      }
    }
  }

  /// Moves the first operation of every communicator, unless somebody else does.
  ///
  /// @return whether anything was done
  boolean turn(boolean check) {
    if (!tryHold()) {
      return false;
    }
    try {
      return moveAll(check);
    } finally {
      letGo();
    }
  }

  /// As [#turn], for who may not wait: deadlines and the job's failure are looked at, others are
  /// not asked for anything.
  void poll() {
    if (!tryHold()) {
      return;
    }
    try {
      for (Progress progress : communicators) {
        if (!progress.move(false)) {
          progress.glance();
        }
      }
    } finally {
      letGo();
    }
  }

  /// As [#turn], for whoever holds.
  boolean moveAll(boolean check) {
    boolean moved = false;
    for (Progress progress : communicators) {
      moved |= progress.move(check);
    }
    return moved;
  }

  boolean isShared() {
    return communicators.length > 1;
  }

  void startDriving() {
    drivers.getAndIncrement();
  }

  void stopDriving() {
    drivers.getAndDecrement();
  }

  void wakeThread() {
    Thread running = thread;
    if (running == null) {
      synchronized (this) {
        running = thread;
        if (running == null) {
          running = new Thread(this::runThread, name);
          running.setDaemon(true);
          thread = running;
          running.start();
          return;
        }
      }
    }
    LockSupport.unpark(running);
  }

  private void runThread() {
    int times = 0;
    while (!closed) {
      if (!hasQueued()) {
        LockSupport.park(this);
        times = 0;
      } else if (drivers.get() > 0) {
        LockSupport.parkNanos(this, LEAVE_TO_DRIVERS_NANOS);
      } else if (turnAndGoOn(idle.isTimeToCheck(times))) {
        times = 0;
      } else {
        idle.idle(times++);
      }
    }
  }

  /// As [#turn]. What one communicator dies of is not the end of the others, which have no other
  /// thread; it has failed by then.
  private boolean turnAndGoOn(boolean check) {
    try {
      return turn(check);
    } catch (RuntimeException | Error broken) {
      LOG.error("collectives could not be moved: thread={}", name, broken);
      return false;
    }
  }

  private boolean hasQueued() {
    for (Progress progress : communicators) {
      if (progress.hasQueued()) {
        return true;
      }
    }
    return false;
  }
}
