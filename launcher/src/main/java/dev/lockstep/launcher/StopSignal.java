package dev.lockstep.launcher;

import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/// The wish that this rank ends, and how long its work may take to comply. Thread-safe.
///
/// SIGTERM and SIGINT end a JVM as soon as its shutdown hooks return: the hook here holds that up
/// until the work has saved and returned, or the time is over.
final class StopSignal {
  // Work that has not once asked whether it is to stop has this long to do so.
  static final Duration TO_ASK = Duration.ofSeconds(1);
  // Work of a job that has failed has nothing to save.
  private static final Duration TO_FAIL = Duration.ofMillis(200);
  private static final long LOOK_NANOS = 20_000_000;

  private final CountDownLatch done = new CountDownLatch(1);
  private final BooleanSupplier failed;
  private final Duration toAsk;
  private final Duration toSave;
  private volatile boolean requested;
  private volatile boolean asked;
  private volatile int exitCode;
  private volatile Runnable afterwards = () -> {};

  /// Makes a signal.
  ///
  /// @param failed whether the job has failed: then there is nothing to save
  /// @param toAsk how long work has that never asks whether it is to stop
  /// @param toSave how long work that does may take to save
  StopSignal(BooleanSupplier failed, Duration toAsk, Duration toSave) {
    this.failed = failed;
    this.toAsk = toAsk;
    this.toSave = toSave;
  }

  /// Listens to signals to this process, which still ends by the signal.
  void install() {
    Thread atExit =
        new Thread(
            () -> {
              request();
              afterwards.run();
            },
            "lockstep-stop");
    Runtime.getRuntime().addShutdownHook(atExit);
  }

  /// Tells what is to be done once the work has ended, or had its time.
  void afterwards(Runnable action) {
    afterwards = action;
  }

  /// Listens to signals to this process; work that has failed, or does so now, ends it with its own
  /// exit code all the same. Other hooks may be cut short: the launcher cleans up.
  void installUnderLauncher() {
    Thread atExit =
        new Thread(
            () -> {
              request();
              if (exitCode != 0) {
                Runtime.getRuntime().halt(exitCode);
              }
            },
            "lockstep-stop");
    Runtime.getRuntime().addShutdownHook(atExit);
  }

  /// The work asks whether it is to stop, and so means to save.
  boolean isRequested() {
    asked = true;
    return requested;
  }

  /// Asks the work to stop and returns when it has, or when the time is over.
  void request() {
    requested = true;
    long start = System.nanoTime();
    long failedAfter = Long.MAX_VALUE;
    try {
      while (!done.await(LOOK_NANOS, TimeUnit.NANOSECONDS)) {
        long elapsed = System.nanoTime() - start;
        if (failedAfter == Long.MAX_VALUE && failed.getAsBoolean()) {
          failedAfter = elapsed;
        }
        long patience = (asked ? toSave : toAsk).toNanos();
        if (elapsed >= patience || elapsed - failedAfter >= TO_FAIL.toNanos()) {
          return;
        }
      }
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
    }
  }

  /// Tells what the process will end with, as soon as that is known.
  void exitCode(int code) {
    exitCode = code;
  }

  /// Returns what the process will end with, or 0 while that is not known.
  int exitCode() {
    return exitCode;
  }

  /// Tells that the work has ended and been left.
  void done() {
    done.countDown();
  }
}
