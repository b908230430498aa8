package dev.lockstep.memory;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// A buffer of host memory that somebody else has allocated, and frees when told.
final class WrappedBuffer extends LeasedBuffer {
  private final MemorySegment given;
  private final MemorySegment segment;
  private final Runnable onClose;

  WrappedBuffer(String name, MemorySegment given, Runnable onClose) {
    super(name, given.byteSize());
    this.given = given;
    this.segment = given.isMapped() ? MappedMemory.plain(given, Arena.global()) : given;
    this.onClose = onClose;
  }

  @Override
  public Backing backing() {
    return new Backing.Private();
  }

  /// @throws IllegalStateException also if the memory was freed before this buffer was closed
  @Override
  public MemorySegment segment() {
    requireOpen();
    if (!given.scope().isAlive()) {
      throw new IllegalStateException(
          "memory of a wrapped buffer was freed before the buffer was closed: name=" + name());
    }
    return segment;
  }

  @Override
  protected void free() {
    onClose.run();
  }
}
