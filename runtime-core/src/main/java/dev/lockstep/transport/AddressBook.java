package dev.lockstep.transport;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ConcurrentMap;

/// Where the ranks of a job tell each other how they are reached; the job's store behind it.
/// Thread-safe.
public interface AddressBook {
  /// Publishes a value under a key, once.
  void publish(String key, byte[] value);

  /// Waits for a key and returns its value.
  ///
  /// @throws dev.lockstep.failure.LockstepException if it does not appear in time or the job has
  ///   failed meanwhile
  byte[] lookup(String key, Duration timeout);

  /// Takes a value back that nobody looks up any more; a book that need not stay small keeps it.
  default void withdraw(String key) {}

  /// Returns the objects that ranks of this job hand each other by reference, if all ranks are
  /// threads of this JVM: the same map on every rank, alive as long as the job.
  default Optional<ConcurrentMap<String, Object>> local() {
    return Optional.empty();
  }
}
