package dev.lockstep.device;

/// A point in a stream's queue. Thread-safe.
public interface Event {
  /// Returns whether the stream has passed it.
  boolean isDone();

  /// Waits until the stream has passed it.
  void await();
}
