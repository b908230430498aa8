package dev.lockstep.job;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ConcurrentMap;

/// One rank's view of a store that lives in this JVM.
final class LocalStore implements Store {
  private final StoreTable table;
  private final FailureCell failures;
  private final ConcurrentMap<String, Object> objects;
  private final int rank;
  private final int worldSize;

  LocalStore(
      StoreTable table,
      FailureCell failures,
      ConcurrentMap<String, Object> objects,
      int rank,
      int worldSize) {
    this.table = table;
    this.failures = failures;
    this.objects = objects;
    this.rank = rank;
    this.worldSize = worldSize;
  }

  @Override
  public Optional<ConcurrentMap<String, Object>> local() {
    return Optional.of(objects);
  }

  @Override
  public void set(String key, byte[] value) {
    checkAlive("store.set(" + key + ")");
    table.set(key, value.clone());
  }

  @Override
  public Optional<byte[]> peek(String key) {
    checkAlive("store.peek(" + key + ")");
    return table.peek(key).map(byte[]::clone);
  }

  @Override
  public byte[] get(String key, Duration timeout) {
    return await(table.await(key, rank), "store.get(" + key + ")", 0, timeout).clone();
  }

  @Override
  public long add(String key, long delta) {
    checkAlive("store.add(" + key + ")");
    return table.add(key, delta);
  }

  @Override
  public void barrier(String name, int count, Duration timeout) {
    int expected = count == worldSize ? count : 0;
    var _ =
        await(table.barrier(name, count, rank), "store.barrier(" + name + ")", expected, timeout);
  }

  @Override
  public void delete(String key) {
    checkAlive("store.delete(" + key + ")");
    table.delete(key);
  }

  private byte[] await(Pending pending, String operation, int expected, Duration timeout) {
    Waits.Wait wait = new Waits.Wait(operation, rank, expected, timeout);
    return Waits.await(pending, wait, () -> withdrawn(pending));
  }

  private Optional<List<Integer>> withdrawn(Pending pending) {
    List<Integer> arrived = table.withdraw(pending);
    if (arrived.isEmpty()) {
      // Whoever took it out of the table is about to end it.
      var _ = pending.handle((_, _) -> "").join();
    }
    return Optional.of(arrived);
  }

  private void checkAlive(String operation) {
    Optional<FailureRecord> failure = failures.first();
    if (failure.isPresent()) {
      throw new JobFailedException(operation, failure.get());
    }
  }
}
