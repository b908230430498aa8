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
/// @param dtype of `A` and `B`, F32 or BF16; the result is F32
/// @param alignment bytes to which all addresses are aligned, 4 to [#ALIGNMENT]
record LtProduct(
    int m,
    int n,
    int k,
    Operand a,
    Operand b,
    int batch,
    boolean addsBias,
    DType dtype,
    int alignment) {
  /// What the memory that is bound to programs is aligned to: cuBLASLt's fast kernels ask for that.
  static final int ALIGNMENT = 16;

  /// How an operand lies.
  ///
  /// @param transposed whether its dimensions are swapped
  /// @param row distance between its rows as they lie, in elements
  /// @param stride distance between the operands of a batch, in elements
  record Operand(boolean transposed, long row, long stride) {}

  /// Returns the alignment of addresses whose bases are aligned.
  static int alignment(Ref... refs) {
    long offsets = ALIGNMENT;
    for (Ref ref : refs) {
      offsets |= ref.offset();
    }
    return (int) Long.lowestOneBit(offsets);
  }

  @Override
  public String toString() {
    return "cublasLt m=%d n=%d k=%d%s%s%s%s %s"
        .formatted(
            m,
            n,
            k,
            a.transposed ? " Aᵀ" : "",
            b.transposed ? " Bᵀ" : "",
            batch == 1 ? "" : " batch=" + batch,
            addsBias ? " +bias" : "",
            dtype);
  }
}
