package dev.lockstep.device.neuron;

import dev.lockstep.interrupt.Uninterrupted;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.jspecify.annotations.Nullable;

/// The one thread that a core belongs to: what is queued runs in order, and every call of the
/// runtime for the core is made here. Queueing a program allocates nothing; where the queue is full
/// it waits.
///
/// A monitor guards the queue, since waiting for one allocates nothing on the heap; it is never
/// held while the runtime is called.
final class CoreThread implements AutoCloseable {
  private static final int CAPACITY = 64;

  private final @Nullable Work[] queue = new Work[CAPACITY];
  private final Thread thread;
  private long queued;
  private long done;
  private boolean closing;

  /// A piece of work.
  interface Work {
    void run();

    /// Hears what [#run] threw, on the core's thread, which goes on.
    void failed(Throwable failure);
  }

  /// An action that somebody waits for.
  private record Call(Runnable action, CompletableFuture<@Nullable Void> result) implements Work {
    @Override
    public void run() {
      action.run();
      result.complete(null);
    }

    @Override
    public void failed(Throwable failure) {
      result.completeExceptionally(failure);
    }
  }

  /// Starts the thread.
  ///
  /// @param name of the core, for stack dumps
  CoreThread(String name) {
    thread = Thread.ofPlatform().name(name).daemon().start(this::work);
  }

  /// Queues work and returns its number, from 1.
  ///
  /// @throws IllegalStateException if the thread was closed
  synchronized long submit(Work work) {
    boolean interrupted = false;
    while (queued - done == CAPACITY && !closing) {
      interrupted |= interruptedWait();
    }
    passOn(interrupted);
    if (closing) {
      throw new IllegalStateException("device is closed: device=" + thread.getName());
    }
    queue[(int) (queued % CAPACITY)] = work;
    queued++;
    notifyAll();
    return queued;
  }

  /// Runs an action here and waits for it; what it throws is thrown.
  ///
  /// @throws IllegalStateException if the thread was closed
  void call(Runnable action) {
    if (Thread.currentThread().equals(thread)) {
      action.run();
      return;
    }
    CompletableFuture<@Nullable Void> result = new CompletableFuture<>();
    long number = submit(new Call(action, result));
    await(number); // not for the result alone: whoever called may ask whether the thread is busy
    await(result);
  }

  private static void await(CompletableFuture<@Nullable Void> result) {
    try {
      Uninterrupted.call(result::get); // the work goes on whatever happens here
    } catch (ExecutionException e) {
      switch (e.getCause()) {
        case RuntimeException failure -> throw failure;
        case Error failure -> throw failure;
        case null, default -> throw new IllegalStateException(e);
      }
    }
  }

  /// Waits until the work of this number is done.
  synchronized void await(long number) {
    boolean interrupted = false;
    while (done < number) {
      interrupted |= interruptedWait();
    }
    passOn(interrupted);
  }

  /// Returns whether the work of this number is done.
  synchronized boolean isDone(long number) {
    return done >= number;
  }

  /// Returns whether anything is queued or running.
  synchronized boolean isBusy() {
    return done < queued;
  }

  /// Waits for a change and returns whether the thread was interrupted meanwhile: whoever waits
  /// goes on waiting, since the work is not undone by it, and passes the interrupt on at the end.
  @SuppressWarnings("WaitNotInLoop") // every caller is a loop
  private boolean interruptedWait() {
    try {
      wait();
      return false;
    } catch (InterruptedException e) {
      return true;
    }
  }

  private static void passOn(boolean interrupted) {
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private void work() {
    Work next = next();
    while (next != null) {
      run(next);
      next = next();
    }
  }

  /// Whatever work throws, those who wait for it go on, and so does the thread.
  private void run(Work next) {
    try {
      next.run();
    } catch (RuntimeException | Error failure) {
      next.failed(failure);
    } finally {
      finished();
    }
  }

  private synchronized @Nullable Work next() {
    while (queued == done && !closing) {
      var _ = interruptedWait(); // nobody interrupts this thread to any purpose
    }
    return queued == done ? null : queue[(int) (done % CAPACITY)];
  }

  private synchronized void finished() {
    queue[(int) (done % CAPACITY)] = null;
    done++;
    notifyAll();
  }

  /// Finishes what is queued and ends the thread.
  @Override
  public void close() {
    synchronized (this) {
      closing = true;
      notifyAll();
    }
    Uninterrupted.join(thread);
  }
}
