package dev.lockstep.job;

import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.TransportException;
import dev.lockstep.interrupt.Uninterrupted;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/// How a thread of a rank waits for the store, and in which words that fails.
///
/// An interrupt does not end a wait: a thread that unwinds with it has yet to tell the others that
/// it leaves, and what it must not free before they have heard. The thread is interrupted
/// afterwards.
final class Waits {
  private Waits() {}

  /// One wait.
  ///
  /// @param operation in the words of messages, for example `store.get(key)`
  /// @param rank who waits
  /// @param expected how many ranks must come for it to end, or 0 if ranks do not matter
  record Wait(String operation, int rank, int expected, Duration timeout) {
    private static final Duration LONGEST = Duration.ofNanos(Long.MAX_VALUE);

    /// Returns the timeout; no time is too long.
    private long nanos() {
      return timeout.compareTo(LONGEST) < 0 ? timeout.toNanos() : Long.MAX_VALUE;
    }
  }

  /// Waits for the future, whoever interrupts that.
  ///
  /// @param withdraw gives up the wait and returns the ranks that had come, or empty if nobody
  ///   says; what ends the wait meanwhile has ended the future when it returns, and counts
  static <T> T await(
      CompletableFuture<T> future, Wait wait, Supplier<Optional<List<Integer>>> withdraw) {
    long start = System.nanoTime();
    return Uninterrupted.call(() -> get(future, wait, start, withdraw));
  }

  /// As [#await(CompletableFuture, Wait, Supplier)], for who has told the others nothing yet.
  static <T> T awaitInterruptibly(
      CompletableFuture<T> future, Wait wait, Supplier<Optional<List<Integer>>> withdraw)
      throws InterruptedException {
    return get(future, wait, System.nanoTime(), withdraw);
  }

  private static <T> T get(
      CompletableFuture<T> future,
      Wait wait,
      long start,
      Supplier<Optional<List<Integer>>> withdraw)
      throws InterruptedException {
    try {
      return future.get(wait.nanos() - (System.nanoTime() - start), TimeUnit.NANOSECONDS);
    } catch (TimeoutException _) {
      long waited = System.nanoTime() - start;
      Optional<List<Integer>> arrived = withdraw.get();
      return switch (future.state()) {
        case SUCCESS -> future.resultNow();
        case FAILED -> throw unwrapped(wait, future.exceptionNow());
        case RUNNING, CANCELLED -> throw timedOut(wait, waited, arrived);
      };
    } catch (ExecutionException e) {
      throw unwrapped(wait, e.getCause());
    }
  }

  /// Waits for the latch, whoever interrupts that, and returns whether it is open.
  static boolean await(CountDownLatch latch, Duration patience) {
    long end = System.nanoTime() + patience.toNanos();
    return Uninterrupted.call(() -> latch.await(end - System.nanoTime(), TimeUnit.NANOSECONDS));
  }

  /// Makes anew, with the waiting thread's stack, what another thread ended the wait with.
  private static RuntimeException unwrapped(Wait wait, @Nullable Throwable cause) {
    return switch (cause) {
      case JobFailedException failed -> new JobFailedException(wait.operation(), failed.failure());
      case IllegalArgumentException wrong ->
          new IllegalArgumentException(wrong.getMessage(), wrong);
      case TransportException broken ->
          new TransportException(broken.endpoint(), String.valueOf(broken.getMessage()), broken);
      case null, default -> new IllegalStateException("store failed: " + wait.operation(), cause);
    };
  }

  private static CollectiveTimeoutException timedOut(
      Wait wait, long elapsedNanos, Optional<List<Integer>> told) {
    List<Integer> arrived = told.orElse(List.of()).stream().sorted().toList();
    List<Integer> missing =
        IntStream.range(0, told.isPresent() ? wait.expected() : 0)
            .filter(rank -> !arrived.contains(rank))
            .boxed()
            .toList();
    String ranks = "";
    if (wait.expected() > 0) {
      ranks =
          told.isPresent()
              ? ", arrivedRanks=%s, missingRanks=%s".formatted(arrived, missing)
              : " (the store does not say who is missing)";
    }
    return new CollectiveTimeoutException(
        wait.operation(),
        wait.rank(),
        0,
        elapsedNanos,
        wait.nanos(),
        missing,
        "timed out: operation=%s, rank=%d, waitedMillis=%d%s"
            .formatted(
                wait.operation(), wait.rank(), TimeUnit.NANOSECONDS.toMillis(elapsedNanos), ranks),
        null);
  }
}
