package dev.lockstep.device.neuron;

import dev.lockstep.memory.Backing;
import dev.lockstep.memory.LeasedBuffer;
import dev.lockstep.memory.MemoryPool;
import java.lang.foreign.MemorySegment;

/// Memory of a Neuron core, a tensor of the runtime, which is its own region. The host cannot
/// address it.
final class NeuronBuffer extends LeasedBuffer {
  private final NeuronDevice device;
  private final long tensor;
  private final long address;
  private final MemoryPool.Charge charge;

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
    super(name, bytes);
    this.device = device;
    this.tensor = tensor;
    this.address = address;
    this.charge = charge;
  }

  /// Returns the runtime's handle, valid until [#close].
  ///
  /// @throws IllegalStateException if closed
  long tensor() {
    requireOpen();
    return tensor;
  }

  boolean belongsTo(NeuronDevice other) {
    return device == other;
  }

  @Override
  protected void free() {
    try {
      device.free(tensor);
    } finally {
      charge.close(); // not before: who is waiting for room takes it at once
    }
  }

  @Override
  public Backing backing() {
    return new Backing.DeviceMemory(device.info().name(), address);
  }

  @Override
  public MemorySegment segment() {
    requireOpen();
    throw new IllegalStateException(
        "memory is not addressable by the host: name=%s, device=%s (copy it by a stream)"
            .formatted(name(), device.info().name()));
  }
}
