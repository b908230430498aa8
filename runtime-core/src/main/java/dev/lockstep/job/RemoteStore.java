package dev.lockstep.job;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.LongFunction;

/// The job's store, asked over a connection.
final class RemoteStore implements Store {
  // The store answers at once or is found silent; this only bounds what no heartbeat can see.
  private static final Duration ANSWER = Duration.ofSeconds(30);
  private static final Duration GIVE_UP = Duration.ofMillis(500);

  private final RankConnection connection;
  private final int rank;
  private final int worldSize;
  private final int maxValueBytes;

  RemoteStore(RankConnection connection, int rank, int worldSize, int maxValueBytes) {
    this.connection = connection;
    this.rank = rank;
    this.worldSize = worldSize;
    this.maxValueBytes = maxValueBytes;
  }

  @Override
  public void set(String key, byte[] value) {
    StoreTable.checkSize(key, value.length, maxValueBytes);
    Bytes copy = new Bytes(value.clone());
    var _ = ask("store.set(" + key + ")", id -> new Message.Put(id, key, copy));
  }

  @Override
  public Optional<byte[]> peek(String key) {
    Message answer = ask("store.peek(" + key + ")", id -> new Message.Peek(id, checked(key)));
    return answer instanceof Message.Value(long _, Bytes value)
        ? Optional.of(value.array())
        : Optional.empty();
  }

  @Override
  public byte[] get(String key, Duration timeout) {
    Message answer =
        ask("store.get(" + key + ")", 0, timeout, id -> new Message.Get(id, checked(key)));
    if (answer instanceof Message.Value(long _, Bytes value)) {
      return value.array();
    }
    throw unexpected(answer);
  }

  @Override
  public long add(String key, long delta) {
    Message answer = ask("store.add(" + key + ")", id -> new Message.Add(id, checked(key), delta));
    if (answer instanceof Message.Sum(long _, long sum)) {
      return sum;
    }
    throw unexpected(answer);
  }

  @Override
  public void barrier(String name, int count, Duration timeout) {
    int expected = count == worldSize ? count : 0;
    var _ =
        ask(
            "store.barrier(" + name + ")",
            expected,
            timeout,
            id -> new Message.Meet(id, checked(name), count));
  }

  @Override
  public void delete(String key) {
    var _ = ask("store.delete(" + key + ")", id -> new Message.Delete(id, checked(key)));
  }

  private static String checked(String key) {
    StoreTable.checkSize(key, 0, 0);
    return key;
  }

  private static IllegalStateException unexpected(Message answer) {
    return new IllegalStateException("store answered something else: answer=" + answer);
  }

  private Message ask(String operation, LongFunction<Message> request) {
    return ask(operation, 0, ANSWER, request);
  }

  private Message ask(
      String operation, int expected, Duration timeout, LongFunction<Message> request) {
    long[] number = new long[1];
    CompletableFuture<Message> answer =
        connection.ask(
            id -> {
              number[0] = id;
              return request.apply(id);
            });
    Waits.Wait wait = new Waits.Wait(operation, rank, expected, timeout);
    return Waits.await(answer, wait, () -> withdraw(connection, number[0]));
  }

  /// Gives up a wait and returns the ranks that had come; empty if the store does not say.
  static Optional<List<Integer>> withdraw(RankConnection connection, long id) {
    return connection
        .giveUp(id)
        .thenApply(Optional::of)
        .completeOnTimeout(Optional.empty(), GIVE_UP.toMillis(), TimeUnit.MILLISECONDS)
        .exceptionally(_ -> Optional.empty())
        .join();
  }
}
