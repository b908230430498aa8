package dev.lockstep.device.cuda;

import dev.lockstep.failure.DeviceException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.interrupt.Uninterrupted;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/// Looks after what is queued of a device's collectives, on a thread of its own: a rank that waits
/// for its stream cannot. What fails, is interrupted or passes its deadline ends all groups of the
/// device, whereupon whoever waits for the stream goes on and hears why.
final class NcclWatch implements AutoCloseable {
  private static final long PAUSE_NANOS = 1_000_000;

  /// As many as a stream has slots: no more are under way.
  private static final int MOST = WorkRing.SLOTS;

  private final CudaCollectives owner;
  private final ReentrantLock lock = new ReentrantLock();
  private final @Nullable NcclCollective[] queued = new NcclCollective[MOST];
  private final long[] sequences = new long[MOST];
  private final long[] since = new long[MOST];
  private final Thread thread;
  private long oldest;
  private long next;
  private volatile boolean closed;

  NcclWatch(CudaCollectives owner) {
    this.owner = owner;
    this.thread =
        Thread.ofPlatform()
            .daemon()
            .name("lockstep-collectives-" + owner.device().context().name())
            .unstarted(this::run);
  }

  /// Looks after a collective that was queued.
  ///
  /// @param ready ticket of the stream, right before it: its deadline counts from when that has
  ///   passed, and what it waits for is there
  /// @param ticket of the stream, right behind it: the next one
  void add(NcclCollective collective, long sequence, long ready, long ticket) {
    lock.lock();
    try {
      queued[(int) (ready % MOST)] = null;
      int slot = (int) (ticket % MOST);
      queued[slot] = collective;
      sequences[slot] = sequence;
      since[slot] = System.nanoTime();
      next = ticket + 1;
    } finally {
      lock.unlock();
    }
    if (thread.getState() == Thread.State.NEW) {
      thread.start();
    }
    LockSupport.unpark(thread);
  }

  private void run() {
    while (!closed) {
      if (isIdle()) {
        LockSupport.park(this);
      } else {
        look();
        LockSupport.parkNanos(this, PAUSE_NANOS);
      }
    }
  }

  private boolean isIdle() {
    lock.lock();
    try {
      return oldest == next || owner.hasFailed();
    } finally {
      lock.unlock();
    }
  }

  private void look() {
    try {
      owner.device().context().enter();
      retire();
      lookAtOldest();
      for (NcclGroup group : owner.groups()) {
        group.lookForErrors();
      }
    } catch (LockstepException lost) {
      owner.fail(lost);
    } catch (RuntimeException | Error unforeseen) {
      String name = owner.device().context().name();
      owner.fail(
          new DeviceException(
              name,
              "watch of collectives",
              0,
              "collectives can no longer be watched: device=%s, cause=%s"
                  .formatted(name, unforeseen),
              unforeseen));
    }
  }

  /// Forgets what the GPU has passed; the next one counts its deadline from here.
  private void retire() {
    while (true) {
      long ticket;
      lock.lock();
      try {
        oldest = Math.max(oldest, next - MOST);
        if (oldest == next) {
          return;
        }
        ticket = oldest;
      } finally {
        lock.unlock();
      }
      if (!owner.stream().hasPassed(ticket)) {
        return;
      }
      lock.lock();
      try {
        if (oldest == ticket) {
          queued[(int) (ticket % MOST)] = null;
          oldest++;
          since[(int) (oldest % MOST)] = System.nanoTime();
        }
      } finally {
        lock.unlock();
      }
    }
  }

  private void lookAtOldest() {
    NcclCollective collective;
    long sequence;
    long waited;
    lock.lock();
    try {
      int slot = (int) (oldest % MOST);
      collective = oldest == next ? null : queued[slot];
      sequence = sequences[slot];
      waited = System.nanoTime() - since[slot];
    } finally {
      lock.unlock();
    }
    if (collective != null) {
      collective.group().checkWait(collective.op(), sequence, waited);
    }
  }

  /// Returns the oldest collective that is under way, with its number, if it is of a group.
  String oldestOf(NcclGroup group) {
    lock.lock();
    try {
      int slot = (int) (oldest % MOST);
      NcclCollective collective = oldest == next ? null : queued[slot];
      return collective == null || !collective.group().equals(group)
          ? "collective"
          : collective.op() + '#' + sequences[slot];
    } finally {
      lock.unlock();
    }
  }

  /// Ends the thread.
  @Override
  public void close() {
    closed = true;
    LockSupport.unpark(thread);
    Uninterrupted.join(thread);
  }
}
