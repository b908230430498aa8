package dev.lockstep.train.parallel;

import dev.lockstep.device.Device;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;

/// Named float32 tensors in one buffer, so that one collective or one addition takes them all. Owns
/// the buffer; the gaps between tensors are 0.
public final class FlatTensors implements AutoCloseable {
  private final Buffer buffer;
  private final FlatLayout layout;
  private final Map<String, Tensor> tensors = new LinkedHashMap<>();

  private FlatTensors(Buffer buffer, FlatLayout layout) {
    this.buffer = buffer;
    this.layout = layout;
    layout
        .places()
        .forEach(
            (name, place) ->
                tensors.put(name, new Tensor(buffer, place.offset(), DType.F32, place.shape())));
  }

  /// Allocates zeros that only this process touches; the caller closes them.
  public static FlatTensors allocate(Device device, String name, FlatLayout layout) {
    return new FlatTensors(device.allocate(name, layout.bytes()), layout);
  }

  /// Allocates zeros that peers on this host may read in place; the caller closes them.
  public static FlatTensors allocateShared(Device device, String name, FlatLayout layout) {
    return new FlatTensors(device.allocateShared(name, layout.bytes()), layout);
  }

  /// Returns the tensor called `name`.
  ///
  /// @throws IllegalArgumentException if there is none
  public Tensor get(String name) {
    Tensor tensor = tensors.get(name);
    if (tensor == null) {
      throw new IllegalArgumentException(
          "no such tensor: tensor=" + name + ", buffer=" + buffer.name());
    }
    return tensor;
  }

  /// Returns the tensors by name, in the layout's order.
  public Map<String, Tensor> byName() {
    return tensors;
  }

  /// Returns the whole buffer as one vector.
  public Tensor whole() {
    return Tensor.of(buffer, DType.F32, Shape.of(layout.elements()));
  }

  /// Returns the layout.
  public FlatLayout layout() {
    return layout;
  }

  /// Frees the buffer; idempotent.
  @Override
  public void close() {
    buffer.close();
  }
}
