package dev.lockstep.train.checkpoint;

import dev.lockstep.train.checkpoint.Safetensors.TensorData;
import java.lang.foreign.MemorySegment;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;

/// Tensors that lie in memory, each of them one piece.
final class TensorsInMemory implements TensorSource {
  private final Map<String, TensorInfo> infos = new LinkedHashMap<>();
  private final Iterator<TensorData> rest;

  /// Reads tensors in the map's order.
  ///
  /// @param tensors borrowed
  TensorsInMemory(Map<String, TensorData> tensors) {
    tensors.forEach((name, data) -> infos.put(name, new TensorInfo(data.dtype(), data.shape())));
    rest = tensors.values().stream().filter(data -> data.data().byteSize() > 0).iterator();
  }

  @Override
  public Map<String, TensorInfo> tensors() {
    return infos;
  }

  @Override
  public MemorySegment next() {
    return rest.next().data();
  }
}
