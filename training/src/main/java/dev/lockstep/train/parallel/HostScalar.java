package dev.lockstep.train.parallel;

import dev.lockstep.device.Stream;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// A number on a device that the host reads and writes: the learning rate, the loss. Confined to
/// the stream's thread; allocates nothing once made.
public final class HostScalar {
  private static final ValueLayout.OfFloat F32 =
      ValueLayout.JAVA_FLOAT.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final Stream stream;
  private final Tensor tensor;
  private final MemorySegment staging;

  /// Makes the host's end of a tensor.
  ///
  /// @param tensor F32 with one element
  /// @param arena lives as long as this
  public HostScalar(Stream stream, Tensor tensor, Arena arena) {
    this.stream = stream;
    this.tensor = tensor;
    this.staging = arena.allocate(F32);
  }

  /// Returns the number; waits for the stream.
  public float get() {
    stream.copyOut(staging, tensor);
    return staging.get(F32, 0);
  }

  /// Sets the number, before what is queued next.
  public void set(float value) {
    staging.set(F32, 0, value);
    stream.copyIn(tensor, staging);
  }
}
