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
  // The launcher uses force a little later.
  private static final Duration TO_SAVE = Duration.ofMillis(1300);
  private static final Duration TO_FAIL = Duration.ofMillis(200);

  private final CountDownLatch done = new CountDownLatch(1);
  private final BooleanSupplier failed;
  private volatile boolean requested;
  private volatile int exitCode;

  /// Makes a signal.
  ///
  /// @param failed whether the job has failed: then there is nothing to save
  StopSignal(BooleanSupplier failed) {
    this.failed = failed;
  }

  /// Listens to signals to this process, which still ends by the signal.
  void install() {
    Runtime.getRuntime().addShutdownHook(new Thread(this::request, "lockstep-stop"));
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

  boolean isRequested() {
    return requested;
  }

  /// Asks the work to stop and returns when it has, or when the time is over.
  void request() {
    requested = true;
    Duration patience = failed.getAsBoolean() ? TO_FAIL : TO_SAVE;
    try {
      var _ = done.await(patience.toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
    }
  }

  /// Tells what the process will end with, as soon as that is known.
  void exitCode(int code) {
    exitCode = code;
  }

  /// Tells that the work has ended and been left.
  void done() {
    done.countDown();
  }
}
