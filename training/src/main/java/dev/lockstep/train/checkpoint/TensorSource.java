package dev.lockstep.train.checkpoint;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.lang.foreign.MemorySegment;
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
}
