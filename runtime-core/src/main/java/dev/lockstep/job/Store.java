package dev.lockstep.job;

import dev.lockstep.failure.LockstepException;
import dev.lockstep.transport.AddressBook;
import java.time.Duration;
import java.util.Optional;

/// The job's shared key-value store. Thread-safe. Every call ends by its timeout, 30 s where it has
/// none, or as soon as the job has failed; an interrupt does not end it, the thread is still
/// interrupted afterwards.
///
/// It is for what ranks tell each other now and then, not for data: a key has at most 1024
/// characters, a value 16 MiB, and all of them 1 GiB. What is not deleted after use stays until the
/// job ends.
///
/// Lockstep's own keys and barriers are here too. They begin with `lockstep/`, `collective/`,
/// `checkpoint/`, `trainer/`, `perf/` or the name of a transport and `/` (`shm/`, `aeron/`); who
/// sets one of those breaks the job. Begin yours with something else, say `app/`.
public interface Store extends AddressBook {
  /// Sets a key, whether it is set or not.
  ///
  /// @param value copied
  /// @throws IllegalArgumentException if the key or the value is too long
  /// @throws JobFailedException if the job has failed
  void set(String key, byte[] value);

  /// Returns a key's value if it is set.
  ///
  /// @throws JobFailedException if the job has failed
  Optional<byte[]> peek(String key);

  /// Waits for a key and returns its value.
  ///
  /// @throws dev.lockstep.failure.CollectiveTimeoutException if it does not appear in time
  /// @throws JobFailedException if the job has failed meanwhile
  byte[] get(String key, Duration timeout);

  /// Adds to a counter that starts at 0 and returns the sum.
  ///
  /// @throws IllegalArgumentException if the key holds something else
  /// @throws JobFailedException if the job has failed
  long add(String key, long delta);

  /// Waits until `count` ranks have called this with the same name.
  ///
  /// @throws dev.lockstep.failure.CollectiveTimeoutException if some have not in time; it names
  ///   them where `count` is the number of ranks
  /// @throws JobFailedException if the job has failed meanwhile
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

  /// Removes a key, if it is set.
  ///
  /// @throws JobFailedException if the job has failed
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
