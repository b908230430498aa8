package dev.lockstep.device.cpu;

/// Packing for [VectorGemm]: operands as panels in the order in which they are multiplied. An
/// operand in bfloat16 is widened on the way, a group of panels at a time.
interface PackKernels {
  /// Packs column panels `[from, to)` of `op(B)` into [Gemm#packed]; scratch is needed where `B` is
  /// narrow, room for a panel.
  void columns(Gemm gemm, int from, int to, long scratch);

  /// Packs row panels `[from, to)` of `op(A)`, each `panelBytes` after the one before; scratch is
  /// needed where `A` is narrow, room for these panels.
  void rows(Gemm gemm, int from, int to, long out, long panelBytes, long scratch);
}
