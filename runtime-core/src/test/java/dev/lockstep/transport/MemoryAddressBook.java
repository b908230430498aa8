package dev.lockstep.transport;

import dev.lockstep.failure.TransportException;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/// An address book for ranks that are threads of one JVM.
public final class MemoryAddressBook implements AddressBook {
  private final ConcurrentMap<String, CompletableFuture<byte[]>> values = new ConcurrentHashMap<>();
  private final ConcurrentMap<String, Object> local = new ConcurrentHashMap<>();

  /// Makes an empty book.
  public MemoryAddressBook() {}

  @Override
  public void publish(String key, byte[] value) {
    of(key).complete(value.clone());
  }

  @Override
  public byte[] lookup(String key, Duration timeout) {
    try {
      return of(key).get(timeout.toNanos(), TimeUnit.NANOSECONDS);
    } catch (TimeoutException | ExecutionException | InterruptedException absent) {
      throw new TransportException(key, "key does not appear: key=" + key, absent);
    }
  }

  @Override
  public Optional<ConcurrentMap<String, Object>> local() {
    return Optional.of(local);
  }

  private CompletableFuture<byte[]> of(String key) {
    return values.computeIfAbsent(key, _ -> new CompletableFuture<>());
  }
}
