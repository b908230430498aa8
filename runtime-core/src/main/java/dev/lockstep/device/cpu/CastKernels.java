package dev.lockstep.device.cpu;

import dev.lockstep.tensor.DType;

/// Conversions between float32 and narrower floats, with the bits of
/// [dev.lockstep.tensor.NarrowFloat].
interface CastKernels {
  /// Whether [#cast] knows the pair.
  static boolean casts(DType from, DType to) {
    return (from == DType.F32 && isNarrow(to)) || (isNarrow(from) && to == DType.F32);
  }

  private static boolean isNarrow(DType dtype) {
    return dtype.isFloat() && dtype.bytes() <= 2;
  }

  /// Converts `n` contiguous elements.
  void cast(DType from, DType to, long x, long out, int n);
}
