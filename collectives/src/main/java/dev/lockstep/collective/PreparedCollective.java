package dev.lockstep.collective;

import dev.lockstep.collective.schedule.Schedule;
import java.util.OptionalDouble;

/// A collective over fixed tensors, to be run again and again. Each run holds leases on the
/// tensors, from start to completion.
public interface PreparedCollective extends AutoCloseable {
  /// Starts a run and returns at once; a thread of the communicator moves it. Allocates nothing.
  /// The same object is returned each time and stands for the last run.
  ///
  /// @throws IllegalStateException if the last run is not complete, or a tensor is closed
  /// @throws dev.lockstep.failure.CollectiveException if the communicator has failed
  Work start();

  /// Runs it and waits; the caller's thread moves it. Allocates nothing.
  ///
  /// @throws IllegalStateException if the last run is not complete, or a tensor is closed
  /// @throws dev.lockstep.failure.CollectiveException as [Work#await]
  void run();

  /// Returns the program that it runs.
  Schedule schedule();

  /// Returns how long a run is to take by the constants of the links, in nanoseconds; empty for a
  /// rank alone and where it was too much to simulate.
  OptionalDouble predictedNanos();

  /// Frees what was prepared; the tensors are their owners'. Idempotent.
  ///
  /// @throws IllegalStateException if a run is not complete
  @Override
  void close();
}
