package dev.lockstep.bench;

import dev.lockstep.interrupt.Uninterrupted;
import java.io.PrintStream;
import java.time.Duration;

/// Says on a terminal what a command is at, while that takes long: one line, which is gone when the
/// command is through. Elsewhere it says nothing.
final class ProgressLine implements AutoCloseable {
  /// Set by the `lockstep` script: whether standard error is a terminal.
  static final String PROPERTY = "lockstep.progress";

  /// From when on a user wonders.
  static final Duration PATIENCE = Duration.ofSeconds(2);

  private static final long AGAIN_MILLIS = 500;
  private static final String CLEAR = "\r\033[K";

  private final PrintStream err;
  private final long patienceMillis;
  private final long start = System.nanoTime();
  private final Thread thread;
  private volatile String doing = "";

  /// Starts to wait until something is worth saying.
  ///
  /// @param isTerminal whether anyone looks at `err`
  ProgressLine(PrintStream err, boolean isTerminal, Duration patience) {
    this.err = err;
    this.patienceMillis = patience.toMillis();
    this.thread = Thread.ofPlatform().daemon().name("progress").unstarted(this::show);
    if (isTerminal) {
      thread.start();
    }
  }

  static ProgressLine on(PrintStream err) {
    return new ProgressLine(err, Boolean.getBoolean(PROPERTY), PATIENCE);
  }

  /// Tells what the command is at from now on.
  void says(String what) {
    doing = what;
  }

  private void show() {
    try {
      Thread.sleep(patienceMillis);
      while (true) {
        long seconds = Duration.ofNanos(System.nanoTime() - start).toSeconds();
        err.print(CLEAR + "lockstep: " + doing + ", " + seconds + " s");
        err.flush();
        Thread.sleep(AGAIN_MILLIS);
      }
    } catch (InterruptedException _) {
      // The command is through.
    }
    if (System.nanoTime() - start >= Duration.ofMillis(patienceMillis).toNanos()) {
      err.print(CLEAR);
      err.flush();
    }
  }

  /// Ends the line; waits until it is gone.
  @Override
  public void close() {
    thread.interrupt();
    Uninterrupted.join(thread);
  }
}
