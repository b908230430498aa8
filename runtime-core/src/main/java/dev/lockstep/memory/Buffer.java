package dev.lockstep.memory;

import java.lang.foreign.MemorySegment;

/// Memory of one device. Who allocated it closes it. Thread-safe.
///
/// A program, copy or collective in flight holds a **lease**: [#close] meanwhile throws
/// [IllegalStateException] and changes nothing.
public interface Buffer extends AutoCloseable {
  /// Returns the name given at allocation; errors and leak reports use it.
  String name();

  /// Returns the size in bytes.
  long bytes();

  /// Returns the name by which transports and devices know this memory.
  Registration registration();

  /// Returns the memory as the host sees it, borrowed until [#close].
  ///
  /// @throws IllegalStateException if closed, or if the host cannot address this memory
  MemorySegment segment();

  /// Takes a lease; allocates nothing. Each call needs its [#release].
  ///
  /// @throws IllegalStateException if closed
  void acquire();

  /// Gives back one lease; allocates nothing.
  void release();

  /// Returns whether [#close] has happened.
  boolean isClosed();

  /// Frees the memory; idempotent.
  ///
  /// @throws IllegalStateException if a lease is out
  @Override
  void close();
}
