package dev.lockstep.job;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.function.Consumer;

/// The first failure of a job: written once, read by polling loops without allocation.
final class FailureCell {
  private final List<Consumer<FailureRecord>> listeners = new ArrayList<>();
  private final CountDownLatch failed = new CountDownLatch(1);
  private volatile Optional<FailureRecord> first = Optional.empty();

  Optional<FailureRecord> first() {
    return first;
  }

  /// Records a failure and tells the listeners; returns false if there was one already.
  boolean record(FailureRecord failure) {
    List<Consumer<FailureRecord>> told;
    synchronized (this) {
      if (first.isPresent()) {
        return false;
      }
      first = Optional.of(failure);
      told = List.copyOf(listeners);
      listeners.clear();
    }
    failed.countDown();
    told.forEach(listener -> listener.accept(failure));
    return true;
  }

  /// Calls the listener with the first failure, now if there is one.
  void onFailure(Consumer<FailureRecord> listener) {
    synchronized (this) {
      if (first.isEmpty()) {
        listeners.add(listener);
        return;
      }
    }
    first.ifPresent(listener);
  }

  /// Waits for a failure, whoever interrupts that, and returns whether there is one.
  boolean await(Duration patience) {
    return Waits.await(failed, patience);
  }
}
