package dev.lockstep.device.cpu;

import dev.lockstep.interrupt.Uninterrupted;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/// The compute threads of one device: its caller and `size - 1` platform threads of its own.
///
/// [#run] cuts `tiles` into as many contiguous ranges as there are threads, by number alone, and
/// returns when all are done. A thread that waits spins briefly, then yields, then parks, so that
/// ranks which share a core do not burn it. One caller at a time.
final class ThreadTeam implements AutoCloseable {
  /// A piece of work that any thread may do, tiles being independent of each other.
  interface Task {
    /// Does tiles `[from, to)`; `worker` names the thread, from 0, for its scratch.
    void run(int worker, int from, int to);
  }

  // Some 5 µs of pauses: longer than the serial work between two kernels of a small model.
  private static final int SPINS = 200;
  private static final int YIELDS = 50;

  /// Room between two threads' counters, so that they share no cache line.
  private static final int PAD = 16;

  private final Thread[] workers;
  private final AtomicLongArray tilesDone;
  private final AtomicLongArray parked;
  private final AtomicInteger pending = new AtomicInteger();
  private @Nullable Task task;
  private int tiles;
  private int rounds;
  private volatile int round;
  private volatile @Nullable Thread waiting;
  private volatile @Nullable Throwable failure;
  private volatile boolean closed;

  ThreadTeam(String name, int size) {
    workers = new Thread[size - 1];
    tilesDone = new AtomicLongArray(size * PAD);
    parked = new AtomicLongArray(size * PAD);
    for (int i = 0; i < workers.length; i++) {
      int worker = i + 1;
      workers[i] =
          Thread.ofPlatform()
              .name("lockstep-cpu-" + name + "-" + worker)
              .daemon()
              .unstarted(() -> serve(worker));
    }
    for (Thread worker : workers) {
      worker.start();
    }
  }

  /// Returns the number of threads, the caller's included.
  int size() {
    return workers.length + 1;
  }

  /// Returns how many tiles a thread has done so far; 0 is the caller.
  long tilesDone(int worker) {
    return tilesDone.get(worker * PAD);
  }

  /// Does all tiles and returns; allocates nothing.
  ///
  /// @throws IllegalStateException if the team is closed
  /// @throws RuntimeException what a tile threw; the other ranges were done
  void run(Task work, int count) {
    if (closed) {
      throw new IllegalStateException("thread team is closed: size=" + size());
    }
    if (workers.length == 0 || count <= 1) {
      if (count > 0) {
        work.run(0, 0, count);
        tilesDone.lazySet(0, tilesDone.get(0) + count);
      }
      return;
    }
    task = work;
    tiles = count;
    failure = null;
    pending.set(workers.length);
    rounds++;
    round = rounds; // publishes the fields above
    wakeParked();
    try {
      part(work, 0, count);
    } finally {
      awaitOthers();
    }
    rethrow();
  }

  private void part(Task work, int worker, int count) {
    int from = (int) ((long) worker * count / size());
    int to = (int) ((worker + 1L) * count / size());
    if (from < to) {
      work.run(worker, from, to);
      tilesDone.lazySet(worker * PAD, tilesDone.get(worker * PAD) + to - from);
    }
  }

  private void wakeParked() {
    for (int i = 0; i < workers.length; i++) {
      if (parked.get((i + 1) * PAD) != 0) {
        LockSupport.unpark(workers[i]);
      }
    }
  }

  @SuppressWarnings("ThreadPriorityCheck") // between spinning and parking: lets a sibling rank run
  private void awaitOthers() {
    boolean interrupted = false;
    for (int idle = 0; pending.get() != 0; idle++) {
      if (idle < SPINS) {
        Thread.onSpinWait();
      } else if (idle < SPINS + YIELDS) {
        Thread.yield();
      } else {
        waiting = Thread.currentThread();
        if (pending.get() != 0) {
          LockSupport.park(this);
        }
        interrupted |= Thread.interrupted();
      }
    }
    waiting = null;
    task = null;
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private void rethrow() {
    Throwable thrown = failure;
    if (thrown == null) {
      return;
    }
    failure = null;
    switch (thrown) {
      case RuntimeException e -> throw e;
      case Error e -> throw e;
      default -> throw new IllegalStateException("compute thread failed: size=" + size(), thrown);
    }
  }

  private void serve(int worker) {
    int seen = 0;
    while (true) {
      seen = awaitRound(worker, seen);
      if (closed) {
        return;
      }
      try {
        Task work = task;
        if (work != null) {
          part(work, worker, tiles);
        }
      } catch (Throwable e) { // reaches the caller, which rethrows it
        failure = e;
      }
      if (pending.decrementAndGet() == 0) {
        Thread caller = waiting;
        if (caller != null) {
          LockSupport.unpark(caller);
        }
      }
    }
  }

  @SuppressWarnings("ThreadPriorityCheck") // between spinning and parking: lets a sibling rank run
  private int awaitRound(int worker, int seen) {
    for (int idle = 0; round == seen && !closed; idle++) {
      if (idle < SPINS) {
        Thread.onSpinWait();
      } else if (idle < SPINS + YIELDS) {
        Thread.yield();
      } else {
        parked.set(worker * PAD, 1);
        if (round == seen && !closed) {
          LockSupport.park(this);
        }
        parked.set(worker * PAD, 0);
      }
    }
    return round;
  }

  /// Stops the threads and waits for them; idempotent.
  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    for (Thread worker : workers) {
      LockSupport.unpark(worker);
      Uninterrupted.join(worker);
    }
  }
}
