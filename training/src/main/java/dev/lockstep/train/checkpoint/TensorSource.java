package dev.lockstep.train.checkpoint;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.checkpoint.Safetensors.TensorData;
import java.lang.foreign.MemorySegment;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;

/// Named tensors whose elements come one piece after another, so that nobody holds all of them.
/// Single-threaded; read once.
public interface TensorSource {
  /// What a tensor is.
  ///
  /// @param dtype element type
  /// @param shape extents
  record TensorInfo(DType dtype, Shape shape) {
    /// Returns the bytes of all elements.
    public long bytes() {
      return shape.bytes(dtype);
    }
  }

  /// Returns the tensors in the order in which their elements come.
  Map<String, TensorInfo> tensors();

  /// Returns the next elements, row-major, little-endian: never of two tensors, and never none
  /// while some are left. Borrowed until the next call.
  MemorySegment next();

  /// Returns tensors that lie in memory, in the map's order.
  ///
  /// @param tensors borrowed
  static TensorSource of(Map<String, TensorData> tensors) {
    Map<String, TensorInfo> infos = new LinkedHashMap<>();
    tensors.forEach((name, data) -> infos.put(name, new TensorInfo(data.dtype(), data.shape())));
    Iterator<TensorData> each =
        tensors.values().stream().filter(data -> data.data().byteSize() > 0).iterator();
    return new TensorSource() {
      @Override
      public Map<String, TensorInfo> tensors() {
        return infos;
      }

      @Override
      public MemorySegment next() {
        return each.next().data();
      }
    };
  }
}
