package dev.lockstep.job;

import dev.lockstep.transport.AddressBook;
import java.time.Duration;
import java.util.Optional;

/// The job's shared key-value store. Thread-safe. Every call ends by its timeout, or as soon as the
/// job has failed; an interrupt does not end it, the thread is still interrupted afterwards.
public interface Store extends AddressBook, AutoCloseable {
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

  @Override
  default void withdraw(String key) {
    delete(key);
  }

  @Override
  void close();
}
