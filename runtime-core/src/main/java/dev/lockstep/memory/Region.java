package dev.lockstep.memory;

import java.lang.foreign.MemorySegment;

/// A stretch of off-heap memory with one owner. Transports and devices name parts of it by
/// [Registration]. Thread-safe.
///
/// A region that a peer may still touch after an abort is **quarantined**: [#close] then only marks
/// it, and the memory goes when the last quarantine is lifted.
public interface Region extends AutoCloseable {
  /// Returns the name given at allocation.
  String name();

  /// Returns the size in bytes.
  long bytes();

  /// Returns what a wire needs to know of this memory.
  Backing backing();

  /// Returns the memory as the host sees it, borrowed until [#close].
  ///
  /// @throws IllegalStateException if closed, or if the host cannot address this memory
  MemorySegment segment();

  /// Takes a lease: until [#release], [#close] throws. Allocates nothing.
  ///
  /// @throws IllegalStateException if closed
  void acquire();

  /// Gives back one lease. Allocates nothing.
  void release();

  /// Keeps the memory alive past [#close] until [#liftQuarantine] has been called as often.
  void quarantine();

  /// Lifts one quarantine.
  void liftQuarantine();

  /// Returns whether [#close] has happened.
  boolean isClosed();

  /// Frees the memory, or marks it for freeing while quarantined; idempotent.
  ///
  /// @throws IllegalStateException if a lease is out
  @Override
  void close();
}
