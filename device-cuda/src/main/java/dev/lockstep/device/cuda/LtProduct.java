package dev.lockstep.device.cuda;

import dev.lockstep.tensor.DType;

/// A product of matrices that cuBLASLt does in one call: `out = A·B` for each of a batch. All are
/// row-major, and the results of a batch lie one after another.
///
/// @param m rows of the result
/// @param n columns of the result
/// @param k what is summed over
/// @param a how `A` lies
/// @param b how `B` lies
/// @param batch how many products
/// @param addsBias whether a number is added to each column of the result
/// @param scales how many numbers on the device the result is multiplied by: 0, or up to 2 where
///   operands are 8-bit floats
/// @param outDtype of the result, F32 or BF16
record LtProduct(
    int m,
    int n,
    int k,
    Operand a,
    Operand b,
    int batch,
    boolean addsBias,
    int scales,
    DType outDtype) {
  /// How many scales a product has at most: one of each operand.
  static final int MOST_SCALES = 2;

  LtProduct {
    if (addsBias && outDtype != DType.F32) {
      throw new IllegalArgumentException(
          "a bias of float32 goes into a result of float32: outDtype=" + outDtype);
    }
    if (scales > 0 && (addsBias || !a.isEightBits() || !b.isEightBits())) {
      throw new IllegalArgumentException(
          "products of 8-bit floats alone, and without a bias, have scales: a=%s, b=%s, addsBias=%s"
              .formatted(a.dtype, b.dtype, addsBias));
    }
  }

  /// What addresses are multiples of: cuBLASLt's fast kernels ask for that. What is bound elsewhere
  /// is copied.
  static final int ALIGNMENT = 16;

  /// How an operand lies.
  ///
  /// @param dtype F32, BF16, F8_E4M3FN or F8_E5M2
  /// @param transposed whether its dimensions are swapped
  /// @param row distance between its rows as they lie, in elements
  /// @param stride distance between the operands of a batch, in elements
  record Operand(DType dtype, boolean transposed, long row, long stride) {
    boolean isEightBits() {
      return dtype.bytes() == 1;
    }

    /// Returns the bytes from the first element to the last one's end.
    ///
    /// @param rows logical
    /// @param columns logical
    private long bytes(int rows, int columns, int batch) {
      long lying = transposed ? columns : rows;
      long wide = transposed ? rows : columns;
      return ((batch - 1) * stride + (lying - 1) * row + wide) * dtype.bytes();
    }
  }

  /// Returns the bytes in which the left operand lies.
  long leftBytes() {
    return a.bytes(m, k, batch);
  }

  /// Returns the bytes in which the right operand lies.
  long rightBytes() {
    return b.bytes(k, n, batch);
  }

  /// Returns the bytes of the result.
  long outBytes() {
    return (long) batch * m * n * outDtype.bytes();
  }

  /// Returns the bytes of the bias.
  long biasBytes() {
    return addsBias ? (long) Float.BYTES * n : 0;
  }

  /// Returns the types of the operands.
  String types() {
    return a.dtype == b.dtype ? a.dtype.toString() : a.dtype + "·" + b.dtype;
  }

  @Override
  public String toString() {
    return "cublasLt m=%d n=%d k=%d%s%s%s%s%s %s%s"
        .formatted(
            m,
            n,
            k,
            a.transposed ? " Aᵀ" : "",
            b.transposed ? " Bᵀ" : "",
            batch == 1 ? "" : " batch=" + batch,
            addsBias ? " +bias" : "",
            scales == 0 ? "" : " scales=" + scales,
            types(),
            outDtype == DType.F32 ? "" : " to " + outDtype);
  }
}
