package dev.lockstep.device.cuda;

import dev.lockstep.memory.Backing;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.Leases;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Region;
import dev.lockstep.memory.Registration;
import java.lang.foreign.MemorySegment;

/// Memory of a GPU, which is its own region. The host cannot address it.
final class CudaBuffer implements Buffer, Region {
  private final CudaMemory memory;
  private final String name;
  private final long bytes;
  private final long pointer;
  private final MemoryPool.Charge charge;
  private final Leases leases;
  private final Registration registration;

  /// Takes over allocated memory.
  CudaBuffer(CudaMemory memory, String name, long bytes, long pointer, MemoryPool.Charge charge) {
    this.memory = memory;
    this.name = name;
    this.bytes = bytes;
    this.pointer = pointer;
    this.charge = charge;
    this.leases = new Leases(name, this::free);
    this.registration = new Registration(this, 0, bytes);
  }

  /// Returns the device address, valid until [#close].
  ///
  /// @throws IllegalStateException if closed
  long pointer() {
    leases.requireOpen();
    return pointer;
  }

  /// Whether the memory is of this device.
  boolean belongsTo(CudaMemory other) {
    return memory == other;
  }

  private void free() {
    charge.close();
    memory.free(pointer, name);
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public long bytes() {
    return bytes;
  }

  @Override
  public Backing backing() {
    return new Backing.DeviceMemory(memory.device(), pointer);
  }

  @Override
  public Registration registration() {
    return registration;
  }

  @Override
  public MemorySegment segment() {
    leases.requireOpen();
    throw new IllegalStateException(
        "memory is not addressable by the host: name=%s, device=%s (copy it by a stream)"
            .formatted(name, memory.device()));
  }

  @Override
  public void acquire() {
    leases.acquire();
  }

  @Override
  public void release() {
    leases.release();
  }

  @Override
  public void quarantine() {
    leases.quarantine();
  }

  @Override
  public void liftQuarantine() {
    leases.liftQuarantine();
  }

  @Override
  public boolean isClosed() {
    return leases.isClosed();
  }

  @Override
  public void close() {
    if (!leases.isClosed()) {
      memory.settle();
    }
    leases.close();
  }
}
