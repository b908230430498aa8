package dev.lockstep.transport.ring;

import java.lang.foreign.MemorySegment;

/// Memory that two or more ranks of a host see, zeroed when it was made. Whoever got it closes its
/// own view; what the others see stays.
public interface SharedArea extends AutoCloseable {
  /// Returns the memory, page-aligned, borrowed until [#close].
  MemorySegment segment();

  /// Closes this view; idempotent.
  @Override
  void close();
}
