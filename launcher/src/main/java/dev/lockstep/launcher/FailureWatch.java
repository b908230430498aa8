package dev.lockstep.launcher;

import dev.lockstep.job.FailureRecord;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;

/// Watches for the failure of a job that this rank's work does not notice, as where it computes for
/// long and asks nobody. The launcher of node 0 hears of a failure from the store and ends its
/// ranks; those of other nodes do not hear of it.
final class FailureWatch implements AutoCloseable {
  private static final Duration LOOK = Duration.ofMillis(100);

  private final CountDownLatch ended = new CountDownLatch(1);

  /// Watches until [#close].
  ///
  /// @param failure the job's first failure
  /// @param toEnd how long work has from a failure on
  /// @param end called, on a thread of the watch, with the failure of a job whose work has not
  ///   ended
  static FailureWatch start(
      Supplier<Optional<FailureRecord>> failure, Duration toEnd, Consumer<FailureRecord> end) {
    FailureWatch watch = new FailureWatch();
    var _ =
        Thread.ofPlatform()
            .daemon()
            .name("lockstep-failure-watch")
            .start(() -> watch.watch(failure, toEnd, end));
    return watch;
  }

  private void watch(
      Supplier<Optional<FailureRecord>> failure, Duration toEnd, Consumer<FailureRecord> end) {
    try {
      Optional<FailureRecord> first = failure.get();
      while (first.isEmpty()) {
        if (ended.await(LOOK.toNanos(), TimeUnit.NANOSECONDS)) {
          return;
        }
        first = failure.get();
      }
      if (!ended.await(toEnd.toNanos(), TimeUnit.NANOSECONDS)) {
        end.accept(first.get());
      }
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
    }
  }

  /// Tells that the work has ended and been left; idempotent.
  @Override
  public void close() {
    ended.countDown();
  }
}
