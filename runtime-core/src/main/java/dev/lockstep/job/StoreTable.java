package dev.lockstep.job;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// What a store holds: values, and those who wait for values or at barriers. Thread-safe; no call
/// blocks. Once the job has failed every wait, old or new, ends with [JobFailedException].
final class StoreTable {
  static final int MAX_KEY_CHARS = 1024;

  private final Map<String, byte[]> values = new HashMap<>();
  private final Map<String, List<Pending>> waiters = new HashMap<>();
  private final Map<String, List<Pending>> barriers = new HashMap<>();
  private final int maxValueBytes;
  private final long maxBytes;
  private long bytes;
  private @Nullable FailureRecord failure;

  /// @param maxValueBytes size of the largest value
  /// @param maxBytes size of all values together
  StoreTable(int maxValueBytes, long maxBytes) {
    this.maxValueBytes = maxValueBytes;
    this.maxBytes = maxBytes;
  }

  /// Sets a key and wakes who waits for it.
  ///
  /// @throws IllegalArgumentException if key or value are too large
  void set(String key, byte[] value) {
    List<Pending> woken;
    synchronized (this) {
      woken = put(key, value);
    }
    woken.forEach(waiter -> waiter.complete(value));
  }

  private List<Pending> put(String key, byte[] value) {
    checkSize(key, value.length, maxValueBytes);
    byte[] old = values.get(key);
    long sum = bytes + value.length - (old == null ? 0 : old.length);
    if (sum > maxBytes) {
      throw new IllegalArgumentException(
          "store is full: key=%s, bytes=%d, usedBytes=%d, maxBytes=%d (delete keys after use)"
              .formatted(key, value.length, bytes, maxBytes));
    }
    values.put(key, value);
    bytes = sum;
    List<Pending> woken = waiters.remove(key);
    return woken == null ? List.of() : woken;
  }

  /// Checks what does not depend on the rest of the store.
  static void checkSize(String key, int valueBytes, int maxValueBytes) {
    if (key.length() > MAX_KEY_CHARS) {
      throw new IllegalArgumentException(
          "store key is too long: keyChars=%d, maxKeyChars=%d"
              .formatted(key.length(), MAX_KEY_CHARS));
    }
    if (valueBytes > maxValueBytes) {
      throw new IllegalArgumentException(
          "store value is too large: key=%s, bytes=%d, maxValueBytes=%d"
              .formatted(key, valueBytes, maxValueBytes));
    }
  }

  synchronized Optional<byte[]> peek(String key) {
    return Optional.ofNullable(values.get(key));
  }

  /// Returns a future of the key's value.
  Pending await(String key, int rank) {
    Pending pending = new Pending(key, rank);
    byte[] value;
    synchronized (this) {
      if (failure != null) {
        end(pending, failure);
        return pending;
      }
      value = values.get(key);
      if (value == null) {
        waiters.computeIfAbsent(key, _ -> new ArrayList<>()).add(pending);
        return pending;
      }
    }
    pending.complete(value);
    return pending;
  }

  /// Adds to a counter, kept as decimal text, and returns the sum.
  ///
  /// @throws IllegalArgumentException if the key holds something else
  long add(String key, long delta) {
    List<Pending> woken;
    byte[] text;
    long sum;
    synchronized (this) {
      sum = Math.addExact(counter(key), delta);
      text = Long.toString(sum).getBytes(StandardCharsets.US_ASCII);
      woken = put(key, text);
    }
    woken.forEach(waiter -> waiter.complete(text));
    return sum;
  }

  private long counter(String key) {
    byte[] old = values.get(key);
    if (old == null) {
      return 0;
    }
    try {
      return Long.parseLong(new String(old, StandardCharsets.US_ASCII));
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          "store key holds no counter: key=%s, bytes=%d".formatted(key, old.length), e);
    }
  }

  /// Returns a future that ends when `count` ranks have come to the barrier.
  Pending barrier(String name, int count, int rank) {
    Pending pending = new Pending(name, rank);
    List<Pending> released;
    synchronized (this) {
      if (failure != null) {
        end(pending, failure);
        return pending;
      }
      List<Pending> arrived = barriers.computeIfAbsent(name, _ -> new ArrayList<>());
      arrived.add(pending);
      if (arrived.size() < count) {
        return pending;
      }
      barriers.remove(name);
      released = arrived;
    }
    released.forEach(waiter -> waiter.complete(new byte[0]));
    return pending;
  }

  /// Ends a wait from the outside and returns the ranks that wait with it, itself included; none if
  /// it waits no more.
  synchronized List<Integer> withdraw(Pending pending) {
    List<Integer> arrived = new ArrayList<>();
    for (Map<String, List<Pending>> place : List.of(waiters, barriers)) {
      List<Pending> there = place.get(pending.name());
      if (there == null || !there.contains(pending)) {
        continue;
      }
      there.forEach(waiter -> arrived.add(waiter.rank()));
      there.remove(pending);
      if (there.isEmpty()) {
        place.remove(pending.name());
      }
    }
    return arrived;
  }

  synchronized void delete(String key) {
    byte[] old = values.remove(key);
    bytes -= old == null ? 0 : old.length;
  }

  /// Ends every wait, now and from now on.
  void fail(FailureRecord record) {
    List<Pending> ended = new ArrayList<>();
    synchronized (this) {
      failure = record;
      waiters.values().forEach(ended::addAll);
      barriers.values().forEach(ended::addAll);
      waiters.clear();
      barriers.clear();
    }
    ended.forEach(pending -> end(pending, record));
  }

  private static void end(Pending pending, FailureRecord record) {
    pending.completeExceptionally(new JobFailedException(pending.name(), record));
  }
}
