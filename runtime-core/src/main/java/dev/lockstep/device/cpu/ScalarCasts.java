package dev.lockstep.device.cpu;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;

/// [CastKernels] one element at a time: the fallback, the oracle, and the tails of the vector path.
final class ScalarCasts implements CastKernels {
  @Override
  public void cast(DType from, DType to, long x, long out, int n) {
    castRange(from, to, x, out, 0, n);
  }

  static void castRange(DType from, DType to, long x, long out, int begin, int end) {
    for (int i = begin; i < end; i++) {
      if (to == DType.F32) {
        int bits = from.bytes() == 2 ? Memory.i16(x + i * 2L) : Memory.i8(x + i);
        Memory.f32(out + i * 4L, NarrowFloat.decode(from, bits));
      } else {
        int bits = NarrowFloat.encode(to, Memory.f32(x + i * 4L));
        if (to.bytes() == 2) {
          Memory.i16(out + i * 2L, (short) bits);
        } else {
          Memory.i8(out + i, (byte) bits);
        }
      }
    }
  }
}
