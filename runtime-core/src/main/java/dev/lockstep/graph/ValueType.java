package dev.lockstep.graph;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;

/// Element type and shape of a value.
///
/// @param dtype element type
/// @param shape extents
public record ValueType(DType dtype, Shape shape) {
  /// Returns the type of a float32 tensor.
  public static ValueType f32(long... dims) {
    return new ValueType(DType.F32, Shape.of(dims));
  }

  /// Returns the type of an int32 tensor.
  public static ValueType i32(long... dims) {
    return new ValueType(DType.I32, Shape.of(dims));
  }

  /// Returns the size of the elements in bytes.
  ///
  /// @throws ArithmeticException if it passes 2^63 - 1
  public long bytes() {
    return shape.bytes(dtype);
  }

  /// Returns for example `F32[2, 3]`.
  @Override
  public String toString() {
    return dtype + shape.toString();
  }
}
