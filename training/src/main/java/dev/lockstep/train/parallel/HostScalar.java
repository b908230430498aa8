package dev.lockstep.train.parallel;

import dev.lockstep.device.Device;
import dev.lockstep.device.Stream;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// A number on a device that the host reads and writes: the learning rate, the loss. Where the host
/// addresses the device's memory it does so in place. Confined to the stream's thread; allocates
/// nothing once made.
public final class HostScalar {
  private static final ValueLayout.OfFloat F32 =
      ValueLayout.JAVA_FLOAT.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final Stream stream;
  private final Tensor tensor;
  private final MemorySegment host;
  private final boolean isInPlace;

  /// Makes the host's end of a tensor.
  ///
  /// @param tensor F32 with one element
  /// @param arena lives as long as this
  public HostScalar(Device device, Stream stream, Tensor tensor, Arena arena) {
    this.stream = stream;
    this.tensor = tensor;
    this.isInPlace = device.info().hostAddressable();
    this.host = isInPlace ? tensor.segment() : arena.allocate(F32);
  }

  /// Returns the number; waits for what makes it.
  public float get() {
    if (isInPlace) {
      stream.synchronize();
    } else {
      stream.copyOut(host, tensor);
    }
    return host.get(F32, 0);
  }

  /// Sets the number, before what is queued next.
  public void set(float value) {
    if (isInPlace) {
      stream.synchronize();
    }
    host.set(F32, 0, value);
    if (!isInPlace) {
      stream.copyIn(tensor, host);
    }
  }
}
