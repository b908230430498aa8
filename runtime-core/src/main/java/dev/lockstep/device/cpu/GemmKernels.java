package dev.lockstep.device.cpu;

/// Matrix products; see [Gemm] for what is computed and in which order.
interface GemmKernels {
  /// Rows of `C` in a row panel.
  int panelRows();

  /// Columns of `C` in a column panel.
  int panelColumns();

  /// What of `op(B)` is packed at once, as far as whole column panels allow.
  long groupBytes();

  /// Room for all of `op(B)` packed; 0 where nothing is packed.
  long packedBytes(Gemm gemm);

  /// Room that each thread needs while it computes.
  long scratchBytes(Gemm gemm);

  /// In how many parts of `k`, one after the other, a plain product of one block is made best (see
  /// [Gemm#part]).
  default int parts(Gemm gemm) {
    return 1;
  }

  /// Packs column panels `[from, to)` of `op(B)`; scratch as for [#compute].
  void packB(Gemm gemm, int from, int to, long scratch);

  /// Makes row panels `[rowFrom, rowTo)` by column panels `[columnFrom, columnTo)` of `C`.
  void compute(Gemm gemm, int rowFrom, int rowTo, int columnFrom, int columnTo, long scratch);

  default int rowPanels(Gemm gemm) {
    return Math.ceilDiv(gemm.m, panelRows());
  }

  default int columnPanels(Gemm gemm) {
    return Math.ceilDiv(gemm.n, panelColumns());
  }
}
