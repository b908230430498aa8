package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import dev.lockstep.interrupt.Uninterrupted;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Keeps the wire going while nobody drives the links: connections are made, acknowledgements and
/// answers given, closed memory is let go, and peers that waiting links need are asked whether they
/// live. Leaves transfers alone.
final class Keeper implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Keeper.class);

  /// While something is on its way out.
  private static final long BUSY_NANOS = TimeUnit.MILLISECONDS.toNanos(1);

  /// While nothing is: a hundredth of a core at most.
  private static final long QUIET_NANOS = TimeUnit.MILLISECONDS.toNanos(5);

  /// How often peers are asked: a dead one is known after two questions at most where its host
  /// refuses them.
  private static final long ASK_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

  /// How long a turn may take before one looks who has the lock.
  private static final Duration AWHILE = Duration.ofMillis(100);

  private final Engine engine;
  private final Runnable chores = this::doChores;
  private final int mostSilences;
  private final Thread thread;
  private volatile boolean stopped;
  private long askedAt = System.nanoTime();

  /// Starts the thread.
  ///
  /// @param livenessNanos how long a silent peer counts as alive
  Keeper(Engine engine, long livenessNanos) {
    this.engine = engine;
    this.mostSilences = mostSilences(livenessNanos);
    this.thread = new Thread(this::run, "lockstep-fabric-" + engine.rank());
    thread.setDaemon(true);
    thread.start();
  }

  /// Returns how often in a row a peer may fail to answer.
  static int mostSilences(long livenessNanos) {
    return (int) Math.max(2, livenessNanos / ASK_NANOS);
  }

  private void run() {
    while (!stopped) {
      boolean busy = true;
      if (engine.tryHold()) {
        try {
          busy = turn();
        } catch (RuntimeException | Error unexpected) {
          LOG.warn(
              "libfabric transport's thread met a failure: rank={}", engine.rank(), unexpected);
        } finally {
          engine.letGo();
        }
      } else {
        engine.want(chores);
      }
      LockSupport.parkNanos(this, busy ? BUSY_NANOS : QUIET_NANOS);
    }
  }

  private boolean turn() {
    engine.progress();
    doChores();
    return engine.isBusy();
  }

  private void doChores() {
    engine.cache().sweep();
    long now = System.nanoTime();
    if (now - askedAt >= ASK_NANOS) {
      askedAt = now;
      engine.peers().ask(mostSilences);
    }
  }

  /// Has a thread of its own do the last thing there is to do.
  ///
  /// @param most how long to wait for it
  /// @return whether it is done
  boolean ends(Runnable what, Duration most) {
    var ending = new FutureTask<@Nullable Void>(what, null);
    Thread end = new Thread(ending, "lockstep-fabric-end-" + engine.rank());
    end.setDaemon(true);
    end.start();
    long until = System.nanoTime() + most.toNanos();
    return Uninterrupted.call(
        () -> {
          try {
            var _ = ending.get(until - System.nanoTime(), TimeUnit.NANOSECONDS);
            return true;
          } catch (TimeoutException late) {
            return false;
          } catch (ExecutionException failed) {
            throw new TransportException(
                engine.transport(),
                "transport cannot be closed: transport=%s, rank=%d"
                    .formatted(engine.transport(), engine.rank()),
                failed.getCause());
          }
        });
  }

  /// Has a thread of its own do something once it gets the lock, which it may never. The keeper's
  /// thread may have ended already, or end at any time from now on.
  void finish(Runnable what) {
    stopped = true;
    Thread end = new Thread(() -> runLast(what), "lockstep-fabric-end-" + engine.rank());
    end.setDaemon(true);
    end.start();
  }

  private void runLast(Runnable what) {
    while (!engine.tryHold()) {
      LockSupport.parkNanos(this, QUIET_NANOS);
    }
    engine.letGo();
    try {
      what.run();
    } catch (RuntimeException stuckAgain) {
      LOG.warn("libfabric transport is not closed: rank={}", engine.rank(), stuckAgain);
    }
  }

  /// Ends the thread and waits for it.
  ///
  /// @throws TransportException if it does not come back from libfabric
  @Override
  public void close() {
    stopped = true;
    LockSupport.unpark(thread);
    while (thread.isAlive()) {
      if (!Uninterrupted.<Boolean, RuntimeException>call(() -> thread.join(AWHILE))) {
        engine.hold(); // it does not wait for the lock: either it has it, or it ends
        engine.letGo();
      }
    }
  }
}
