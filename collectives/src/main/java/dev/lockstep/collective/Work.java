package dev.lockstep.collective;

import java.util.List;

/// A collective that was started. Thread-safe.
///
/// A communicator's collectives run one after another in the order of their starts; a thread of the
/// communicator moves them, and so does whoever waits or polls. A collective's deadline counts from
/// when its turn has come, that is when those before it are over: one that waits behind long ones
/// is late, but nobody is missing.
public interface Work {
  /// Returns the work of several collectives: complete when all are. Waiting for it waits for each
  /// in turn and throws the first failure.
  static Work all(List<? extends Work> works) {
    return new AllWork(List.copyOf(works));
  }

  /// Returns whether the collective is complete. Moves nothing.
  ///
  /// @throws dev.lockstep.failure.CollectiveException if it has failed
  boolean isDone();

  /// Waits until the collective is complete; not longer than its deadline and the deadlines of
  /// those that were started before it and are not over. An interrupt does not end the wait, since
  /// the others count on this rank: the thread is still interrupted afterwards. What ends it is
  /// [Communicator#abort].
  ///
  /// @throws dev.lockstep.failure.CollectiveException the typed failure: a timeout with the missing
  ///   ranks, a mismatch with both sides, a lost rank, or the communicator's abort
  void await();

  /// Moves what can be moved without waiting: for threads that have something better to do than to
  /// wait, between two pieces of it. Allocates nothing.
  ///
  /// @return whether the collective is complete
  /// @throws dev.lockstep.failure.CollectiveException if it has failed
  boolean poll();
}
