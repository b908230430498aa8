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
/// @param dtype of `A` and `B`, F32 or BF16
/// @param outDtype of the result, F32 or BF16
record LtProduct(
    int m,
    int n,
    int k,
    Operand a,
    Operand b,
    int batch,
    boolean addsBias,
    DType dtype,
    DType outDtype) {
  LtProduct {
    if (addsBias && outDtype != DType.F32) {
      throw new IllegalArgumentException(
          "a bias of float32 goes into a result of float32: outDtype=" + outDtype);
    }
  }

  /// What the memory that is bound to programs is aligned to: cuBLASLt's fast kernels ask for that.
  static final int ALIGNMENT = 16;

  /// How an operand lies.
  ///
  /// @param transposed whether its dimensions are swapped
  /// @param row distance between its rows as they lie, in elements
  /// @param stride distance between the operands of a batch, in elements
  record Operand(boolean transposed, long row, long stride) {}

  @Override
  public String toString() {
    return "cublasLt m=%d n=%d k=%d%s%s%s%s %s%s"
        .formatted(
            m,
            n,
            k,
            a.transposed ? " Aᵀ" : "",
            b.transposed ? " Bᵀ" : "",
            batch == 1 ? "" : " batch=" + batch,
            addsBias ? " +bias" : "",
            dtype,
            outDtype == DType.F32 ? "" : " to " + outDtype);
  }
}
