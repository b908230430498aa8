package dev.lockstep.collective.execute;

import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.failure.CollectiveException;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.Job;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/// Runs a communicator's operations one after another, in the order of their starts. That order is
/// the same on all ranks, so threads that start operations agree on it: one starts at a time. All
/// else is thread-safe. The first failure ends everything that was started and whatever is started
/// later.
public final class Progress {
  /// One of several operations that are started together.
  ///
  /// @param operation what is started
  /// @param timeoutNanos its deadline, from when its turn has come
  public record Start(Operation operation, long timeoutNanos) {}

  private static final VarHandle AT_ONCE;

  static {
    try {
      AT_ONCE = MethodHandles.lookup().findVarHandle(Progress.class, "atOnce", boolean.class);
    } catch (ReflectiveOperationException impossible) {
      throw new ExceptionInInitializerError(impossible);
    }
  }

  private final Job job;
  private final Endpoint endpoint;
  private final Driving driving;
  private final Past past = new Past();
  private final Standing standing;
  private final Watch watch;
  private final Idle idle;
  private final Quarantine quarantine;
  private final Patience patience;

  private final Started started;
  private @Nullable Operation current; // of whoever holds
  private volatile @Nullable Throwable abortReason;
  private volatile @Nullable CollectiveException failure;
  private volatile boolean closed;
  private volatile boolean untold; // whether others hear of a failure from somebody else
  private boolean ended;

  /// Whether the current operation never was in the queue.
  private volatile boolean atOnce;

  /// Makes the progress of one rank of a communicator.
  ///
  /// @param endpoint borrowed until closed
  /// @param driving what moves it
  public Progress(Job job, Endpoint endpoint, Driving driving) {
    this.job = job;
    this.endpoint = endpoint;
    this.driving = driving;
    this.started = new Started(endpoint.rank());
    this.standing = new Standing(job, endpoint, past, this::nextSequence);
    this.watch = new Watch(job, endpoint, standing, driving.longWaits);
    this.quarantine = new Quarantine(job, endpoint);
    this.idle = driving.idle;
    this.patience = new Patience(idle, endpoint.cores());
    driving.add(this);
  }

  /// Returns the sequence that the next operation will have.
  public long nextSequence() {
    return started.nextSequence();
  }

  /// Returns how this rank tells the others where it stands.
  public Standing standing() {
    return standing;
  }

  /// Returns why the job has failed, if it has or does so within a moment: that a peer's link or
  /// memory is gone is often the consequence of something else.
  public Optional<FailureRecord> awaitWord() {
    return Optional.ofNullable(watch.awaitRecord());
  }

  /// Puts an operation at the end of the queue; allocates nothing.
  ///
  /// @param asynchronous whether nobody may wait for it for a while
  /// @throws IllegalStateException if it is under way, or a tensor or the communicator is closed
  /// @throws CollectiveException if the communicator has failed
  public void start(Operation operation, long timeoutNanos, boolean asynchronous) {
    synchronized (started) {
      checkUsable(operation.kind().label());
      started.add(operation, timeoutNanos);
    }
    if (asynchronous) {
      driving.wakeThread();
    }
  }

  /// Puts operations at the end of the queue, all or none, and lets a thread move them.
  ///
  /// @throws IllegalStateException as [#start]; then none is started
  /// @throws CollectiveException as [#start]
  public void startTogether(List<Start> starts) {
    synchronized (started) {
      checkUsable(starts.isEmpty() ? "group" : starts.getFirst().operation().kind().label());
      started.addAll(starts);
    }
    driving.wakeThread();
  }

  /// Runs an operation and waits for it; allocates nothing.
  ///
  /// Where nothing else is under way the operation never enters the queue: between the call and the
  /// first word to a peer there are two atomic steps and no look at the clock.
  ///
  /// @throws IllegalStateException as [#start]
  /// @throws CollectiveException as [#start], or the operation's failure
  public void run(Operation operation, long timeoutNanos) {
    if (!driving.tryHold()) {
      start(operation, timeoutNanos, false);
    } else {
      boolean begun;
      try {
        begun = runAtOnce(operation, timeoutNanos);
      } finally {
        driving.letGo();
      }
      if (!begun) {
        start(operation, timeoutNanos, false);
      }
    }
    if (!operation.isDone()) {
      await(operation);
    }
  }

  /// Begins an operation, and moves it for as long as a rank in step may take.
  ///
  /// @return whether it could begin
  private boolean runAtOnce(Operation operation, long timeoutNanos) {
    if (isUnderWay() || closed || failure != null || abortReason != null) {
      return false;
    }
    started.begin(operation, timeoutNanos);
    current = operation;
    AT_ONCE.setRelease(this, true);
    try {
      operation.begin();
    } catch (RuntimeException | Error cause) {
      fail(operation, cause);
      return true;
    }
    operation.waitedForBy(Thread.currentThread());
    boolean alone = !driving.isShared();
    for (int times = 0; operation.isUnderWay() && idle.isSpinning(times); ) {
      boolean check = idle.isTimeToCheck(times);
      if (move(check) || (!alone && check && driving.moveAll(false))) {
        times = 0;
      } else {
        idle.idle(times++);
      }
    }
    return true;
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
          endpoint.jobRank(),
          nextSequence(),
          "communicator cannot be used after a failure: op=%s, rank=%d, failure=%s (close the job and join a new one, or exit)"
              .formatted(what, endpoint.jobRank(), reason),
          reason);
    }
    if (closed) {
      throw new IllegalStateException(
          "communicator is closed: op=%s, rank=%d".formatted(what, endpoint.rank()));
    }
  }

  /// Moves the communicators until an operation is complete; allocates nothing. An interrupt does
  /// not end the wait: the thread is interrupted afterwards.
  ///
  /// @throws CollectiveException the operation's failure
  public void await(Operation operation) {
    driving.startDriving();
    operation.waitedForBy(Thread.currentThread());
    boolean interrupted = false;
    try {
      int times = 0;
      while (!operation.isDone()) {
        if (driving.turn(idle.isTimeToCheck(times))) {
          times = 0;
          continue;
        }
        Throwable reason = abortReason;
        if (reason != null && operation.isUnderWay() && idle.isTimeToCheck(times)) {
          endpoint.revoke(); // whoever holds may be busy for long
          throw watch.aborted(operation, reason);
        }
        interrupted |= patience.idle(times++, current);
      }
    } finally {
      operation.waitedForBy(null);
      driving.stopDriving();
      Idle.passOn(interrupted);
    }
  }

  /// Moves what can be moved now; allocates nothing, and asks the store nothing.
  public void poll() {
    driving.poll();
  }

  /// Ends the first operation if the job has failed or its deadline has passed. Only the holder may
  /// call this.
  void glance() {
    Operation operation = current;
    if (operation != null) {
      try {
        watch.glance(operation);
      } catch (RuntimeException | Error cause) {
        fail(operation, cause);
      }
    }
  }

  /// Moves the first operation. Only the holder may call this.
  ///
  /// @return whether anything was done
  boolean move(boolean check) {
    Operation operation = current;
    try {
      if (operation == null) {
        operation = started.first();
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
        complete(operation);
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

  /// Nothing is over before it is finished: once nothing is under way its memory may go.
  private void complete(Operation operation) {
    long sequence = operation.sequence(); // once it is finished it may be started again
    patience.completed(operation.program());
    operation.finish();
    past.add(sequence, operation.asked());
    watch.over(sequence);
    current = null;
    if (atOnce) {
      AT_ONCE.setRelease(this, false);
    } else {
      started.removeFirst();
    }
  }

  /// Ends everything that was started, whatever else goes wrong. Only the holder may call this.
  private void fail(Operation operation, Throwable cause) {
    CollectiveException typed = watch.typed(operation, cause);
    failure = typed; // nothing is started from here on
    current = null;
    try {
      quarantine.keep(operation.readable());
      endpoint.revoke(); // before the tensors are their owner's again
      endpoint.acknowledge();
      if (!untold) {
        // Peers that find a link broken look for the job's word. Of an abort they are told the
        // reason, whichever thread tells it.
        Throwable reason = abortReason;
        watch.report(operation, reason != null ? reason : typed);
      }
    } finally {
      endpoint.abandonLinks();
      endAll(operation, typed);
    }
  }

  private void endAll(Operation failed, CollectiveException cause) {
    long sequence = failed.sequence(); // once it has failed it is its owner's again
    try {
      failed.fail(cause);
      started.failOthers(failed, other -> watch.aborted(other, cause));
    } finally {
      started.clear();
      atOnce = false;
      watch.over(sequence);
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
    endWith(reason);
    if (job.failure().isEmpty()) {
      job.fail(reason, activity);
    }
  }

  /// As [#abort], and returns when everything has ended. The caller tells the other ranks, or knows
  /// who does.
  public void abandon(Throwable reason) {
    untold = true;
    endWith(reason);
    drain();
  }

  private void endWith(Throwable reason) {
    abortReason = reason;
    endpoint.revoke();
    if (driving.tryHold()) {
      try {
        var _ = driving.moveAll(false);
        if (!isUnderWay()) {
          endpoint.acknowledge(); // nothing is begun any more
        }
      } finally {
        driving.letGo();
      }
    }
  }

  /// Waits for the end of an operation of a communicator that was aborted or has failed: another
  /// thread may be in the middle of a step, or of ending it. Returns at once where nothing failed.
  public void settleIfFailed(Operation operation) {
    waitWhile(() -> (abortReason != null || failure != null) && operation.isUnderWay());
  }

  /// Returns whether something waits for its turn or for its end.
  boolean hasQueued() {
    return !started.isEmpty();
  }

  /// Returns whether a collective has failed, or all were ended.
  public boolean hasFailed() {
    return failure != null || abortReason != null;
  }

  /// Waits until everything that was started is complete or has failed.
  public void drain() {
    waitWhile(this::isUnderWay);
  }

  /// As [#drain()], for some time.
  ///
  /// @return whether nothing is under way any more
  public boolean drain(Duration patience) {
    long start = System.nanoTime();
    waitWhile(() -> isUnderWay() && System.nanoTime() - start < patience.toNanos());
    return !isUnderWay();
  }

  private boolean isUnderWay() {
    return !started.isEmpty() || atOnce;
  }

  private void waitWhile(BooleanSupplier goesOn) {
    boolean interrupted = false;
    int times = 0;
    try {
      while (goesOn.getAsBoolean()) {
        times = driving.turn(idle.isTimeToCheck(times)) ? 0 : times + 1;
        interrupted |= idle.idle(times);
      }
    } finally {
      Idle.passOn(interrupted);
    }
  }

  /// Lets nothing be started any more. Idempotent.
  public void stop() {
    driving.whileNobodyMoves(
        () -> {
          synchronized (started) {
            closed = true;
          }
        });
  }

  /// Ends progress; what is under way fails. Idempotent.
  ///
  /// @param together whether all ranks close, with nothing under way and nothing failed: otherwise
  ///   peers may wait to hear that this rank has left their memory
  public void close(boolean together) {
    if (ended) {
      return;
    }
    ended = true;
    stop();
    if (isUnderWay()) {
      abort(
          new IllegalStateException("communicator was closed with collectives under way"),
          "closing a communicator");
      drain();
    }
    driving.remove(this);
    if (!together) {
      endpoint.acknowledge();
    }
    quarantine.end();
  }
}
