package dev.lockstep.transport.ring;

import dev.lockstep.memory.Registration;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.function.Consumer;

/// How the ranks of one host come to see the same memory. Thread-safe.
public interface Neighbors extends AutoCloseable {
  /// Makes an area and tells `peer` of it.
  ///
  /// @param key what the peer looks for
  /// @param prepare lays the area out before the peer hears of it
  /// @param name what errors call the memory
  /// @throws dev.lockstep.failure.LockstepException if there is no memory, or nothing is known of
  ///   the peer in time
  SharedArea offer(
      String key,
      String name,
      long bytes,
      int peer,
      Duration timeout,
      Consumer<MemorySegment> prepare);

  /// Waits for an area that `peer` offers and opens it.
  ///
  /// @throws dev.lockstep.failure.LockstepException if it does not appear in time or cannot be
  ///   opened
  SharedArea find(String key, int peer, Duration timeout);

  /// Returns whether this rank and a peer can open each other's memory. Waits for a peer that has
  /// not opened its transport.
  boolean sharesMemoryWith(int peer);

  /// Returns a descriptor of the range, see [dev.lockstep.transport.PeerAccess#describe].
  byte[] describe(Registration registration);

  /// Opens a range for reading, see [dev.lockstep.transport.PeerAccess#open].
  MemorySegment open(int peer, byte[] descriptor);

  /// Opens a range for reading and writing, see [dev.lockstep.transport.PeerAccess#openToWrite].
  MemorySegment openToWrite(int peer, byte[] descriptor);

  /// Takes one [#open] or [#openToWrite] back.
  void forget(int peer, byte[] descriptor);

  /// Closes every view that [#open] made; areas belong to who got them.
  @Override
  void close();
}
