package dev.lockstep.device.cuda;

import dev.lockstep.memory.Backing;
import dev.lockstep.memory.LeasedBuffer;
import dev.lockstep.memory.MemoryPool;
import java.lang.foreign.MemorySegment;

/// Memory of a GPU, which is its own region. The host cannot address it.
final class CudaBuffer extends LeasedBuffer {
  private final CudaMemory memory;
  private final long pointer;
  private final MemoryPool.Charge charge;

  /// Takes over allocated memory.
  CudaBuffer(CudaMemory memory, String name, long bytes, long pointer, MemoryPool.Charge charge) {
    super(name, bytes);
    this.memory = memory;
    this.pointer = pointer;
    this.charge = charge;
  }

  /// Returns the device address, valid until [#close].
  ///
  /// @throws IllegalStateException if closed
  long pointer() {
    requireOpen();
    return pointer;
  }

  /// Whether the memory is of this device.
  boolean belongsTo(CudaMemory other) {
    return memory == other;
  }

  @Override
  protected void free() {
    try {
      memory.free(pointer, name());
    } finally {
      charge.close(); // not before: who is waiting for room takes it at once
    }
  }

  @Override
  public Backing backing() {
    return new Backing.DeviceMemory(memory.device(), pointer);
  }

  @Override
  public MemorySegment segment() {
    requireOpen();
    throw new IllegalStateException(
        "memory is not addressable by the host: name=%s, device=%s (copy it by a stream)"
            .formatted(name(), memory.device()));
  }

  @Override
  public void close() {
    if (!isClosed()) {
      memory.settle();
    }
    super.close();
  }
}
