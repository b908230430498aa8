package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import java.util.SplittableRandom;
import java.util.function.IntUnaryOperator;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Every vector width against the exact codecs.
class CastKernelsTest {
  private static final int ROOM = 1 << 16;

  @ParameterizedTest
  @EnumSource(names = {"BF16", "F16", "F8_E4M3FN", "F8_E4M3", "F8_E5M2"})
  void everyCodeWidensAsTheCodecSays(DType narrow) {
    int codes = 1 << (8 * narrow.bytes());
    var kernels = new Kernels(1);
    long x = kernels.room((long) codes * narrow.bytes());
    for (int i = 0; i < codes; i++) {
      store(narrow, x, i, i);
    }
    Kernels.all()
        .forEach(
            set -> {
              long out = kernels.zeros(codes);
              // An odd number, so that some are left over.
              set.casts().cast(narrow, DType.F32, x, out, codes - 1);
              for (int i = 0; i < codes - 1; i++) {
                int wanted = Float.floatToRawIntBits(NarrowFloat.decode(narrow, i));
                assertThat(Memory.i32(out + i * 4L)).as("code %x, %s", i, set).isEqualTo(wanted);
              }
            });
  }

  @ParameterizedTest
  @EnumSource(names = {"BF16", "F16", "F8_E4M3FN", "F8_E4M3", "F8_E5M2"})
  void everyKindOfFloatIsRoundedAsTheCodecSays(DType narrow) {
    var random = new SplittableRandom(7);
    narrows(narrow, _ -> random.nextInt());
    // Halfway between neighbours and next to it, in every binade, of both signs.
    narrows(narrow, i -> (i << 16) | new int[] {0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF}[i % 6]);
    narrows(narrow, i -> (i << 19) | (1 << 18) | (i >>> 13));
    narrows(narrow, i -> 0x3700_0000 + (i << 12) | (i << 31));
  }

  private static void narrows(DType narrow, IntUnaryOperator bits) {
    var kernels = new Kernels(1);
    long x = kernels.zeros(ROOM);
    for (int i = 0; i < ROOM; i++) {
      Memory.i32(x + i * 4L, bits.applyAsInt(i));
    }
    Kernels.all()
        .forEach(
            set -> {
              long out = kernels.room((long) ROOM * narrow.bytes());
              set.casts().cast(DType.F32, narrow, x, out, ROOM - 3);
              for (int i = 0; i < ROOM - 3; i++) {
                float value = Float.intBitsToFloat(Memory.i32(x + i * 4L));
                int wanted = NarrowFloat.encode(narrow, value);
                if (load(narrow, out, i) != wanted) {
                  throw new AssertionError(
                      "rounds otherwise: value=%s, found=%x, wanted=%x, kernels=%s"
                          .formatted(value, load(narrow, out, i), wanted, set));
                }
              }
            });
  }

  private static void store(DType narrow, long base, int i, int bits) {
    if (narrow.bytes() == 2) {
      Memory.i16(base + i * 2L, (short) bits);
    } else {
      Memory.i8(base + i, (byte) bits);
    }
  }

  private static int load(DType narrow, long base, int i) {
    return narrow.bytes() == 2 ? Memory.i16(base + i * 2L) & 0xFFFF : Memory.i8(base + i) & 0xFF;
  }
}
