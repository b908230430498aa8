package dev.lockstep.collective.execute;

import dev.lockstep.failure.CollectiveException;
import java.util.ArrayDeque;
import java.util.List;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/// A communicator's operations from their start to their end, numbered in the order of their
/// starts; the first in the queue is the one that moves.
///
/// Thread-safe. Whoever starts holds the lock of this object from the first question whether it may
/// to the end of the start.
final class Started {
  private final int rank;
  private final ArrayDeque<Operation> queue = new ArrayDeque<>();
  private long nextSequence; // of whoever starts
  private volatile int waiting; // operations in the queue, for those who only look

  /// @param rank this one's number in the communicator, for messages
  Started(int rank) {
    this.rank = rank;
  }

  /// Returns the sequence that the next operation will have.
  synchronized long nextSequence() {
    return nextSequence;
  }

  /// Returns whether nothing is in the queue.
  boolean isEmpty() {
    return waiting == 0;
  }

  /// Leases an operation's memory and numbers it, without the queue; for who starts while nothing
  /// else is started. Allocates nothing.
  ///
  /// @throws IllegalStateException if it is under way, or a tensor is closed
  void begin(Operation operation, long timeoutNanos) {
    requireIdle(operation);
    lease(operation);
    operation.started(nextSequence++, timeoutNanos);
  }

  /// As [#begin], and puts the operation at the end of the queue.
  synchronized void add(Operation operation, long timeoutNanos) {
    begin(operation, timeoutNanos);
    queue.add(operation);
    waiting = queue.size();
  }

  /// As [#add] one after another, all or none.
  synchronized void addAll(List<Progress.Start> starts) {
    List<Operation> operations = starts.stream().map(Progress.Start::operation).toList();
    int leased = 0;
    try {
      for (Operation operation : operations) {
        requireIdle(operation);
        if (operations.subList(0, leased).contains(operation)) {
          throw new IllegalStateException(
              "collective stands twice in a group: op=%s, rank=%d, sequence=%d"
                  .formatted(operation.kind().label(), rank, nextSequence));
        }
        lease(operation);
        leased++;
      }
    } finally {
      if (leased < operations.size()) {
        operations.subList(0, leased).forEach(Operation::release);
      }
    }
    for (Progress.Start start : starts) {
      start.operation().started(nextSequence++, start.timeoutNanos());
      queue.add(start.operation());
    }
    waiting = queue.size();
  }

  private void requireIdle(Operation operation) {
    if (operation.isUnderWay()) {
      throw new IllegalStateException(
          "collective is still under way: op=%s, rank=%d (await its last run first)"
              .formatted(operation.name(), rank));
    }
  }

  private void lease(Operation operation) {
    try {
      operation.lease();
    } catch (IllegalStateException gone) {
      throw new IllegalStateException(
          "tensor of a collective is closed: op=%s, rank=%d, sequence=%d, cause=%s"
              .formatted(operation.kind().label(), rank, nextSequence, gone.getMessage()),
          gone);
    }
  }

  /// Returns the first in the queue, or null.
  @Nullable Operation first() {
    if (waiting == 0) {
      return null;
    }
    synchronized (this) {
      return queue.peek();
    }
  }

  /// Takes the first off the queue: it is complete.
  synchronized void removeFirst() {
    queue.remove();
    waiting = queue.size();
  }

  /// Fails every operation in the queue but one.
  synchronized void failOthers(Operation than, Function<Operation, CollectiveException> cause) {
    queue.stream()
        .filter(other -> !other.equals(than))
        .forEach(other -> other.fail(cause.apply(other)));
  }

  /// Empties the queue.
  synchronized void clear() {
    queue.clear();
    waiting = 0;
  }
}
