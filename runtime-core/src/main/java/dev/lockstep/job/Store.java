package dev.lockstep.job;

import dev.lockstep.failure.LockstepException;
import dev.lockstep.transport.AddressBook;
import java.time.Duration;
import java.util.Optional;

/// The job's shared key-value store. Thread-safe. Every call ends by its timeout, or as soon as the
/// job has failed; an interrupt does not end it, the thread is still interrupted afterwards.
public interface Store extends AddressBook {
  /// Sets a key.
  void set(String key, byte[] value);

  /// Returns a key's value if it is set.
  Optional<byte[]> peek(String key);

  /// Waits for a key and returns its value.
  byte[] get(String key, Duration timeout);

  /// Adds to a counter that starts at 0 and returns the sum.
  long add(String key, long delta);

  /// Waits until `count` ranks have called this with the same name.
  void barrier(String name, int count, Duration timeout);

  /// Waits a moment until `count` ranks have called this with the same name, so that each finds for
  /// itself what all find before the first of them fails for it: a job that has failed answers no
  /// more questions. Who does not come learns it from the job's failure.
  default void meet(String name, int count) {
    try {
      // Ranks that find it find it together, within milliseconds; others have waited long enough.
      barrier(name, count, Duration.ofMillis(500));
    } catch (LockstepException _) {
      // the job has failed, or somebody does not come
    }
  }

  /// Removes a key.
  void delete(String key);

  @Override
  default void publish(String key, byte[] value) {
    set(key, value);
  }

  @Override
  default byte[] lookup(String key, Duration timeout) {
    return get(key, timeout);
  }

  /// Says nothing where the job has failed or the store is gone: the key goes with them, and what
  /// is closed afterwards need not fail too.
  @Override
  default void withdraw(String key) {
    try {
      delete(key);
    } catch (LockstepException _) {
      // nobody looks the key up any more
    }
  }
}
