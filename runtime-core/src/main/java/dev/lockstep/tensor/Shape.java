package dev.lockstep.tensor;

import java.util.Arrays;
import java.util.List;

/// The extents of a tensor, outermost first; immutable. Rank 0 is a scalar with one element; an
/// extent may be 0.
public final class Shape {
  private static final Shape SCALAR = new Shape(new long[0]);

  private final long[] dims;
  private final long elements;

  private Shape(long[] dims) {
    long product = 1;
    for (long dim : dims) {
      if (dim < 0) {
        throw new IllegalArgumentException(
            "shape has a negative extent: shape=" + Arrays.toString(dims));
      }
      product = Math.multiplyExact(product, dim);
    }
    this.dims = dims;
    this.elements = product;
  }

  /// Returns the shape with these extents.
  ///
  /// @throws IllegalArgumentException if an extent is negative
  /// @throws ArithmeticException if the number of elements passes 2^63 - 1
  public static Shape of(long... dims) {
    return dims.length == 0 ? SCALAR : new Shape(dims.clone());
  }

  /// Returns the shape with these extents.
  public static Shape of(List<Long> dims) {
    return of(dims.stream().mapToLong(Long::longValue).toArray());
  }

  /// Returns the shape of a scalar, `[]`.
  public static Shape scalar() {
    return SCALAR;
  }

  /// Returns the number of dimensions.
  public int rank() {
    return dims.length;
  }

  /// Returns the extent of dimension `dim`; a negative `dim` counts from the innermost (-1 is the
  /// last).
  public long dim(int dim) {
    int i = dim < 0 ? dims.length + dim : dim;
    if (i < 0 || i >= dims.length) {
      throw new IllegalArgumentException("dimension out of range: dim=" + dim + ", shape=" + this);
    }
    return dims[i];
  }

  /// Returns a copy of the extents.
  public long[] dims() {
    return dims.clone();
  }

  /// Returns the number of elements: the product of the extents.
  public long elements() {
    return elements;
  }

  /// Returns the number of bytes of the elements.
  ///
  /// @throws ArithmeticException if it passes 2^63 - 1
  public long bytes(DType dtype) {
    if (elements > Long.MAX_VALUE / dtype.bytes()) {
      throw new ArithmeticException(
          "tensor is too large: dtype=%s, shape=%s (choose one of less than 2^63 bytes)"
              .formatted(dtype, this));
    }
    return elements * dtype.bytes();
  }

  /// Returns this shape with dimension `dim` (from the outermost) replaced.
  public Shape with(int dim, long extent) {
    long[] copy = dims.clone();
    copy[dim] = extent;
    return new Shape(copy);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Shape shape && Arrays.equals(dims, shape.dims);
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(dims);
  }

  /// Returns the extents as `[2, 3]`.
  @Override
  public String toString() {
    return Arrays.toString(dims);
  }
}
