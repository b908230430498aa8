package dev.lockstep.collective.execute;

import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.failure.CollectiveException;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Region;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Runs a communicator's operations one after another, in the order of their starts. Thread-safe.
///
/// Whoever waits moves them, one thread at a time; while nobody waits and something was started
/// asynchronously, a daemon thread does. The first failure ends everything that was started and
/// whatever is started later.
public final class Progress implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Progress.class);

  /// How long a closing rank waits for peers to have left its memory after a failure.
  private static final long FAREWELL_NANOS = TimeUnit.MILLISECONDS.toNanos(200);

  // How long the thread leaves the work to those who wait for it before it looks again.
  private static final long LEAVE_TO_DRIVERS_NANOS = 200_000;

  private static final VarHandle HELD;
  private static final VarHandle DRIVERS;
  private static final VarHandle AT_ONCE;

  static {
    try {
      MethodHandles.Lookup lookup = MethodHandles.lookup();
      HELD = lookup.findVarHandle(Progress.class, "held", boolean.class);
      DRIVERS = lookup.findVarHandle(Progress.class, "drivers", int.class);
      AT_ONCE = lookup.findVarHandle(Progress.class, "atOnce", boolean.class);
    } catch (ReflectiveOperationException impossible) {
      throw new ExceptionInInitializerError(impossible);
    }
  }

  private final Job job;
  private final Endpoint endpoint;
  private final Watch watch;
  private final Idle idle;
  private final List<Region> quarantined = new ArrayList<>();

  /// Started, not complete; the first is the one that moves. Guarded by itself.
  private final ArrayDeque<Operation> queue = new ArrayDeque<>();

  private long nextSequence; // guarded by queue; while it is empty, by holding
  private volatile int waiting; // operations in the queue, for those who only look
  private @Nullable Operation current; // of whoever holds
  private volatile @Nullable Throwable abortReason;
  private volatile @Nullable CollectiveException failure;
  private volatile @Nullable Thread thread;
  private volatile boolean closed;

  @SuppressWarnings("unused") // by HELD
  private boolean held;

  @SuppressWarnings("unused") // by DRIVERS
  private volatile int drivers;

  /// Whether whoever holds runs an operation that never was in the queue.
  private volatile boolean atOnce;

  /// Makes the progress of one rank of a communicator.
  ///
  /// @param endpoint borrowed until closed
  public Progress(Job job, Endpoint endpoint) {
    this.job = job;
    this.endpoint = endpoint;
    this.watch = new Watch(job, endpoint);
    this.idle = new Idle(job.localWorldSize());
  }

  /// Returns the sequence that the next operation will have.
  public long nextSequence() {
    synchronized (queue) {
      return nextSequence;
    }
  }

  /// Puts an operation at the end of the queue; allocates nothing.
  ///
  /// @param asynchronous whether nobody may wait for it for a while
  /// @throws IllegalStateException if it is under way, or a tensor or the communicator is closed
  /// @throws CollectiveException if the communicator has failed
  public void start(Operation operation, long timeoutNanos, boolean asynchronous) {
    checkUsable(operation.kind().label());
    synchronized (queue) {
      requireIdle(operation);
      lease(operation);
      operation.started(nextSequence++, timeoutNanos);
      queue.add(operation);
      waiting = queue.size();
    }
    if (asynchronous) {
      wakeThread();
    }
  }

  /// Runs an operation and waits for it; allocates nothing.
  ///
  /// Where nothing else is under way the operation never enters the queue: between the call and the
  /// first word to a peer there are two atomic steps and no look at the clock.
  ///
  /// @throws IllegalStateException as [#start]
  /// @throws CollectiveException as [#start], or the operation's failure
  public void run(Operation operation, long timeoutNanos) {
    if (HELD.compareAndSet(this, false, true)) {
      try {
        if (waiting == 0 && !closed && failure == null && abortReason == null) {
          runAtOnce(operation, timeoutNanos);
          return;
        }
      } finally {
        HELD.setRelease(this, false);
      }
    }
    start(operation, timeoutNanos, false);
    await(operation);
  }

  private void runAtOnce(Operation operation, long timeoutNanos) {
    requireIdle(operation);
    lease(operation);
    operation.startedAtOnce(nextSequence++, timeoutNanos);
    current = operation;
    AT_ONCE.setRelease(this, true);
    try {
      operation.begin();
      int times = 0;
      while (!operation.isDone()) {
        if (move(idle.isTimeToCheck(times))) {
          times = 0;
        } else {
          idle.idle(times++);
        }
      }
    } finally {
      AT_ONCE.setRelease(this, false);
    }
  }

  private void requireIdle(Operation operation) {
    if (operation.isUnderWay()) {
      throw new IllegalStateException(
          "collective is still under way: op=%s, rank=%d (await its last run first)"
              .formatted(operation.name(), endpoint.rank()));
    }
  }

  private void lease(Operation operation) {
    try {
      operation.lease();
    } catch (IllegalStateException gone) {
      throw new IllegalStateException(
          "tensor of a collective is closed: op=%s, rank=%d, sequence=%d, cause=%s"
              .formatted(
                  operation.kind().label(), endpoint.rank(), nextSequence, gone.getMessage()),
          gone);
    }
  }

  /// Throws unless collectives may be started.
  ///
  /// @param what the collective that is to be started
  public void checkUsable(String what) {
    CollectiveException first = failure;
    Throwable reason = first == null ? abortReason : first;
    if (reason != null) {
      throw new CollectiveAbortedException(
          what,
          endpoint.rank(),
          nextSequence(),
          "communicator cannot be used after a failure: op=%s, rank=%d, failure=%s (make a new one)"
              .formatted(what, endpoint.rank(), reason),
          reason);
    }
    if (closed) {
      throw new IllegalStateException(
          "communicator is closed: op=%s, rank=%d".formatted(what, endpoint.rank()));
    }
  }

  /// Moves the queue until an operation is complete; allocates nothing.
  ///
  /// @throws CollectiveException the operation's failure
  public void await(Operation operation) {
    DRIVERS.getAndAdd(this, 1);
    try {
      int times = 0;
      while (!operation.isDone()) {
        if (turn(idle.isTimeToCheck(times))) {
          times = 0;
          continue;
        }
        Throwable reason = abortReason;
        if (reason != null && operation.isUnderWay() && idle.isTimeToCheck(times)) {
          throw watch.aborted(operation, reason); // whoever holds may be busy for long
        }
        idle.idle(times++);
      }
    } finally {
      DRIVERS.getAndAdd(this, -1);
    }
  }

  /// Moves what can be moved now; allocates nothing.
  public void poll() {
    turn(true);
  }

  /// Moves the first operation, unless somebody else does.
  ///
  /// @return whether anything was done
  private boolean turn(boolean check) {
    if (!HELD.compareAndSet(this, false, true)) {
      return false;
    }
    try {
      return move(check);
    } finally {
      HELD.setRelease(this, false);
    }
  }

  private boolean move(boolean check) {
    Operation operation = current;
    try {
      if (operation == null) {
        operation = first();
        if (operation == null) {
          return false;
        }
        current = operation;
        operation.begin();
      }
      Throwable reason = abortReason;
      if (reason != null) {
        throw watch.aborted(operation, reason);
      }
      boolean moved = operation.program().advance();
      if (operation.program().isDone()) {
        current = null;
        if (!atOnce) {
          removeFirst();
        }
        operation.finish();
        return true;
      }
      if (check && !moved) {
        watch.check(operation);
      }
      return moved;
    } catch (RuntimeException | Error cause) {
      if (operation == null) {
        throw cause;
      }
      fail(operation, cause);
      return true;
    }
  }

  private @Nullable Operation first() {
    if (waiting == 0) {
      return null;
    }
    synchronized (queue) {
      return queue.peek();
    }
  }

  private void removeFirst() {
    synchronized (queue) {
      queue.remove();
      waiting = queue.size();
    }
  }

  /// Ends everything that was started. Only the holder may call this.
  private void fail(Operation operation, Throwable cause) {
    CollectiveException typed = watch.typed(operation, cause);
    failure = typed;
    quarantine(operation);
    current = null;
    List<Operation> ended;
    synchronized (queue) {
      ended = List.copyOf(queue);
      queue.clear();
      waiting = 0;
    }
    operation.fail(typed);
    for (Operation other : ended) {
      if (!other.equals(operation)) {
        other.fail(watch.aborted(other, typed));
      }
    }
    endpoint.acknowledge();
    watch.report(operation, typed);
  }

  /// Keeps memory that peers may still read until they have said that they do not.
  private void quarantine(Operation operation) {
    if (endpoint.access().isEmpty()) {
      return;
    }
    for (Region region : operation.readable()) {
      region.quarantine();
      quarantined.add(region);
    }
  }

  /// Ends everything that was started and whatever will be, and tells the other ranks. Returns even
  /// if another thread is in the middle of a step.
  ///
  /// @param activity what this rank was doing
  public void abort(Throwable reason, String activity) {
    if (failure != null || abortReason != null) {
      return;
    }
    abortReason = reason;
    turn(false);
    if (job.failure().isEmpty()) {
      job.fail(reason, activity);
    }
  }

  private void wakeThread() {
    Thread running = thread;
    if (running == null) {
      synchronized (queue) {
        running = thread;
        if (running == null) {
          running = new Thread(this::runThread, "lockstep-collectives-" + endpoint.rank());
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
      if (waiting == 0) {
        LockSupport.park(this);
        times = 0;
      } else if ((int) DRIVERS.getVolatile(this) > 0 || atOnce) {
        LockSupport.parkNanos(this, LEAVE_TO_DRIVERS_NANOS);
      } else if (turn(idle.isTimeToCheck(times))) {
        times = 0;
      } else {
        idle.idle(times++);
      }
    }
  }

  /// Returns whether nothing is under way and nothing has failed.
  public boolean isIdle() {
    return waiting == 0 && !atOnce && failure == null && abortReason == null;
  }

  /// Waits until everything that was started is complete or has failed; allocates nothing.
  public void drain() {
    int times = 0;
    while (waiting > 0 || atOnce) {
      times = turn(idle.isTimeToCheck(times)) ? 0 : times + 1;
      idle.idle(times);
    }
  }

  /// Ends progress; what is under way fails. Idempotent.
  @Override
  public void close() {
    if (closed) {
      return;
    }
    if (waiting > 0 || atOnce) {
      abort(
          new IllegalStateException("communicator was closed with collectives under way"),
          "closing a communicator");
      drain();
    }
    closed = true;
    LockSupport.unpark(thread);
    if (!quarantined.isEmpty()) {
      endQuarantine();
    }
  }

  private void endQuarantine() {
    long start = System.nanoTime();
    while (!everybodyLeft() && System.nanoTime() - start < FAREWELL_NANOS) {
      LockSupport.parkNanos(1_000_000);
    }
    if (everybodyLeft()) {
      quarantined.forEach(Region::liftQuarantine);
    } else {
      LOG.warn(
          "peers did not say that they have left this rank's memory: rank={}, kept={}",
          endpoint.rank(),
          quarantined.stream().map(Region::name).toList());
    }
    quarantined.clear();
  }

  private boolean everybodyLeft() {
    int dead = job.failure().map(FailureRecord::rank).orElse(-1);
    for (int peer = 0; peer < endpoint.ranks(); peer++) {
      if (peer != endpoint.rank() && peer != dead && !endpoint.hasAcknowledged(peer)) {
        return false;
      }
    }
    return true;
  }
}
