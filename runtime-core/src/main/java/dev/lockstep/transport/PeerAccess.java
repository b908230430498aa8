package dev.lockstep.transport;

import dev.lockstep.memory.Registration;
import java.lang.foreign.MemorySegment;

/// In-place access to the memory of peers on the same host, and counters by which ranks signal each
/// other.
///
/// Who gives access gives all of it: ranks that may read each other's memory may write it, so that
/// schedules which write need not ask for more than access. A transport that can only let peers
/// read gives none.
///
/// Signals are monotonic 64-bit counters, one per (communicator, slot, from, to); a slot has its
/// own cache line. Setting one releases, reading one acquires: what was written before the signal
/// is seen after it.
public interface PeerAccess {
  /// Number of signal slots per communicator and pair of ranks.
  int SLOTS = 16;

  /// Returns a descriptor by which a peer opens this range.
  ///
  /// @throws IllegalArgumentException if the region is not shared memory (see
  ///   [dev.lockstep.memory.Backing.SharedFile])
  byte[] describe(Registration registration);

  /// Maps a peer's range for reading; cached by region, valid until the transport closes or
  /// [#forget] is called.
  ///
  /// @throws dev.lockstep.failure.TransportException if the peer's memory cannot be opened
  MemorySegment open(int peer, byte[] descriptor);

  /// As [#open], for reading and writing: what is written is the peer's at once. Who writes has to
  /// have the peer's word, by a signal, that it may.
  ///
  /// @throws dev.lockstep.failure.TransportException as [#open]
  MemorySegment openToWrite(int peer, byte[] descriptor);

  /// Drops the mapping behind a descriptor that [#open] or [#openToWrite] returned.
  void forget(int peer, byte[] descriptor);

  /// Prepares the signal slots of a communicator; every member calls it before the first signal.
  void openSignals(int communicator);

  /// Frees the signal slots of a communicator, once nobody signals on them any more: a peer that
  /// does so later gets a typed error, or nobody sees it. Slots that are never closed go with the
  /// transport. Idempotent.
  void closeSignals(int communicator);

  /// Sets this rank's counter towards `peer`; allocates nothing.
  void signal(int peer, int communicator, int slot, long value);

  /// Returns the counter of `peer` towards this rank; allocates nothing, waits for nothing.
  long signalled(int peer, int communicator, int slot);
}
