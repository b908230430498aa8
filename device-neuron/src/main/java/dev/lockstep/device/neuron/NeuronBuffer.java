package dev.lockstep.device.neuron;

import dev.lockstep.memory.Backing;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.Leases;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Region;
import dev.lockstep.memory.Registration;
import java.lang.foreign.MemorySegment;

/// Memory of a Neuron core, a tensor of the runtime, which is its own region. The host cannot
/// address it.
final class NeuronBuffer implements Buffer, Region {
  private final NeuronDevice device;
  private final String name;
  private final long bytes;
  private final long tensor;
  private final long address;
  private final MemoryPool.Charge charge;
  private final Leases leases;
  private final Registration registration;

  /// Takes over an allocated tensor.
  ///
  /// @param tensor its handle; 0 for no bytes
  /// @param address where it lies, for network cards; 0 for no bytes
  NeuronBuffer(
      NeuronDevice device,
      String name,
      long bytes,
      long tensor,
      long address,
      MemoryPool.Charge charge) {
    this.device = device;
    this.name = name;
    this.bytes = bytes;
    this.tensor = tensor;
    this.address = address;
    this.charge = charge;
    this.leases = new Leases(name, this::free);
    this.registration = new Registration(this, 0, bytes);
  }

  /// Returns the runtime's handle, valid until [#close].
  ///
  /// @throws IllegalStateException if closed
  long tensor() {
    leases.requireOpen();
    return tensor;
  }

  boolean belongsTo(NeuronDevice other) {
    return device == other;
  }

  private void free() {
    charge.close();
    device.free(tensor);
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
    return new Backing.DeviceMemory(device.info().name(), address);
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
            .formatted(name, device.info().name()));
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
    leases.close();
  }
}
