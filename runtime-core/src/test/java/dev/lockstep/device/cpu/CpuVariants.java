package dev.lockstep.device.cpu;

import dev.lockstep.device.DeviceContract.Variant;
import java.util.ArrayList;
import java.util.List;

/// The ways of opening the CPU device on this machine whose results must have the same bits.
final class CpuVariants {
  private CpuVariants() {}

  /// Scalar and every vector width on one thread, and two and three threads; the scalar one first.
  static List<Variant> all() {
    List<Variant> variants = new ArrayList<>();
    variants.add(new Variant(1, KernelSet.SCALAR_BITS));
    for (int bits = 128; bits <= KernelSet.preferredBits(); bits *= 2) {
      variants.add(new Variant(1, bits));
    }
    variants.add(new Variant(2, 0));
    variants.add(new Variant(3, 0));
    variants.add(new Variant(3, KernelSet.SCALAR_BITS));
    return variants;
  }
}
