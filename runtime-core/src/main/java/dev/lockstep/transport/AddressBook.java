package dev.lockstep.transport;

import java.time.Duration;

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
}
