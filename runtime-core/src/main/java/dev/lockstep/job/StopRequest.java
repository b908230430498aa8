package dev.lockstep.job;

import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/// The wish that this process ends, for work that saves and leaves its job before. Thread-safe.
///
/// SIGTERM and SIGINT end a JVM as soon as its shutdown hooks return: the hook here holds that up
/// until this rank has left the job, or the time is over.
final class StopRequest {
  private final CountDownLatch left = new CountDownLatch(1);
  private final Thread atExit = new Thread(this::request, "lockstep-stop");
  private final Duration patience;
  private final Runnable afterwards;
  private volatile boolean requested;

  /// Makes a request that nobody has yet made.
  ///
  /// @param patience how long the work may take to leave
  /// @param afterwards what is done then, or once the time is over
  StopRequest(Duration patience, Runnable afterwards) {
    this.patience = patience;
    this.afterwards = afterwards;
  }

  /// Listens to signals to this process.
  ///
  /// @throws IllegalStateException if it is already ending
  void install() {
    Runtime.getRuntime().addShutdownHook(atExit);
  }

  boolean isRequested() {
    return requested;
  }

  /// Asks for it and returns once the rank has left, or the time is over.
  void request() {
    requested = true;
    try {
      var _ = left.await(TimeUnit.NANOSECONDS.convert(patience), TimeUnit.NANOSECONDS);
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
    }
    afterwards.run();
  }

  /// Tells that this rank has left the job.
  void left() {
    left.countDown();
    try {
      Runtime.getRuntime().removeShutdownHook(atExit);
    } catch (IllegalStateException _) {
      // The JVM is going down and runs the hook.
    }
  }
}
