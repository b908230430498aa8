package dev.lockstep.transport.ring;

import java.lang.foreign.MemorySegment;

/// Memory that two or more ranks of a host see, zeroed when it was made. Whoever got it closes its
/// own view; what the others see stays.
public interface SharedArea extends AutoCloseable {
  /// Returns the memory, page-aligned, borrowed until [#close].
  MemorySegment segment();

  /// Does something with the memory while no other thread of this JVM frees it; nothing if one has
  /// freed it. The JVM leaves whoever touches memory that is just being freed interrupted, also
  /// where it has come out in time: its next wait would end at once.
  default void use(Runnable access) {
    access.run();
  }

  /// Closes this view; idempotent.
  @Override
  void close();
}
