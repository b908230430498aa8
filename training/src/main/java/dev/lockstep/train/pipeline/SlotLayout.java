package dev.lockstep.train.pipeline;

import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;

/// Where named values of any types lie side by side, each on a border of 64 bytes.
public final class SlotLayout {
  private static final long ALIGNMENT = 64;

  private final Map<String, ValueType> types = new LinkedHashMap<>();
  private final Map<String, Long> offsets = new LinkedHashMap<>();
  private final long bytes;

  private SlotLayout(Map<String, ValueType> values) {
    long offset = 0;
    for (Map.Entry<String, ValueType> value : values.entrySet()) {
      types.put(value.getKey(), value.getValue());
      offsets.put(value.getKey(), offset);
      offset = Math.ceilDiv(offset + value.getValue().bytes(), ALIGNMENT) * ALIGNMENT;
    }
    bytes = offset;
  }

  /// Lays values out in the map's order.
  public static SlotLayout of(Map<String, ValueType> values) {
    return new SlotLayout(values);
  }

  /// Returns the size, a multiple of 64.
  public long bytes() {
    return bytes;
  }

  /// Returns the types by name, in order.
  public Map<String, ValueType> types() {
    return new LinkedHashMap<>(types);
  }

  /// Returns the values as tensors of memory that starts at `offset` of `buffer`.
  Map<String, Tensor> tensors(Buffer buffer, long offset) {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    types.forEach(
        (name, type) ->
            tensors.put(
                name,
                new Tensor(
                    buffer, offset + offsets.getOrDefault(name, 0L), type.dtype(), type.shape())));
    return tensors;
  }

  /// Returns all of the memory as one message.
  Tensor message(Buffer buffer, long offset) {
    return new Tensor(buffer, offset, DType.U8, Shape.of(bytes));
  }
}
