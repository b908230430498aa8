package dev.lockstep.tensor;

import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.Registration;
import java.lang.foreign.MemorySegment;

/// A typed, shaped view of a range of a [Buffer]; rows contiguous, little-endian. Immutable and
/// thread-safe as a value; who writes the elements synchronises. A view does not own: closing the
/// buffer invalidates it, and using it afterwards throws [IllegalStateException].
///
/// @param buffer memory that holds the elements; borrowed
/// @param offset first byte within the buffer, a multiple of the element size
/// @param dtype element type
/// @param shape extents
public record Tensor(Buffer buffer, long offset, DType dtype, Shape shape) {
  /// Checks that the elements lie inside the buffer.
  public Tensor {
    long bytes = shape.bytes(dtype);
    if (offset < 0 || offset > buffer.bytes() - bytes || offset % dtype.bytes() != 0) {
      throw new IllegalArgumentException(
          "tensor does not fit its buffer: buffer=%s, bufferBytes=%d, offset=%d, dtype=%s, shape=%s"
              .formatted(buffer.name(), buffer.bytes(), offset, dtype, shape));
    }
  }

  /// Returns the view of the whole buffer's start.
  public static Tensor of(Buffer buffer, DType dtype, Shape shape) {
    return new Tensor(buffer, 0, dtype, shape);
  }

  /// Returns the number of bytes of the elements.
  public long bytes() {
    return shape.elements() * dtype.bytes();
  }

  /// Returns the same bytes seen with another shape of as many elements.
  public Tensor reshape(Shape other) {
    if (other.elements() != shape.elements()) {
      throw new IllegalArgumentException(
          "reshape changes the number of elements: from=" + shape + ", to=" + other);
    }
    return new Tensor(buffer, offset, dtype, other);
  }

  /// Returns the registration of exactly these bytes.
  public Registration registration() {
    return new Registration(
        buffer.registration().region(), buffer.registration().offset() + offset, bytes());
  }

  /// Returns the elements as host memory, borrowed until the buffer closes.
  ///
  /// @throws IllegalStateException if the buffer is closed or its memory is not addressable by the
  ///   host
  public MemorySegment segment() {
    return buffer.segment().asSlice(offset, bytes());
  }
}
