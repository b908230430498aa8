package dev.lockstep.device.cpu;

import static dev.lockstep.device.cpu.Memory.ALL;
import static dev.lockstep.device.cpu.Memory.at;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import dev.lockstep.tensor.DType;
import java.lang.invoke.MethodHandles;
import java.util.stream.IntStream;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/// [CastKernels] on the Vector API, one hidden class per width (see [KernelSet]): bfloat16 and the
/// eight-bit floats of training. Where as many bytes as there are lanes make no vector (at 128 bits
/// they are four), they pass as one 32-bit word. What is left is scalar.
final class VectorCasts implements CastKernels {
  private static final VectorSpecies<Float> S = KernelSet.species(MethodHandles.lookup());
  private static final VectorSpecies<Integer> I = VectorSpecies.of(int.class, S.vectorShape());
  private static final VectorSpecies<Short> H =
      VectorSpecies.of(short.class, VectorShape.forBitSize(S.vectorBitSize() / 2));
  private static final int LANES = S.length();
  private static final boolean HAS_BYTES = LANES >= 8;
  private static final VectorSpecies<Byte> B =
      VectorSpecies.of(byte.class, VectorShape.forBitSize(Math.max(64, LANES * 8)));

  /// Brings byte `i` of a word to the top of lane `i` by multiplication.
  private static final IntVector SPREAD =
      IntVector.fromArray(
          I, IntStream.range(0, LANES).map(i -> 1 << (24 - i % 4 * 8)).toArray(), 0);

  private static final int SIGN = 0x8000_0000;
  private static final int INFINITY = 0x7F80_0000;
  private static final int QUIET = 0x7FC0_0000;

  @Override
  public void cast(DType from, DType to, long x, long out, int n) {
    int whole = n - n % LANES;
    if (to == DType.BF16) {
      toBf16(x, out, whole);
    } else if (from == DType.BF16) {
      fromBf16(x, out, whole);
    } else if (to == DType.F8_E4M3FN) {
      toE4m3fn(x, out, whole);
    } else if (to == DType.F8_E5M2) {
      toE5m2(x, out, whole);
    } else if (from == DType.F8_E4M3FN) {
      fromE4m3fn(x, out, whole);
    } else if (from == DType.F8_E5M2) {
      fromE5m2(x, out, whole);
    } else {
      whole = 0;
    }
    ScalarCasts.castRange(from, to, x, out, whole, n);
  }

  private static void toBf16(long x, long out, int n) {
    for (int i = 0; i < n; i += LANES) {
      FloatVector v = FloatVector.fromMemorySegment(S, ALL, at(x + i * 4L), LITTLE_ENDIAN);
      IntVector bits = v.reinterpretAsInts();
      IntVector high = bits.lanewise(VectorOperators.LSHR, 16);
      IntVector rounded = bits.add(high.and(1)).add(0x7FFF).lanewise(VectorOperators.LSHR, 16);
      VectorMask<Integer> nan = bits.and(~SIGN).compare(VectorOperators.GT, INFINITY);
      ((ShortVector) rounded.blend(high.or(0x40), nan).convertShape(VectorOperators.I2S, H, 0))
          .intoMemorySegment(ALL, at(out + i * 2L), LITTLE_ENDIAN);
    }
  }

  private static void fromBf16(long x, long out, int n) {
    for (int i = 0; i < n; i += LANES) {
      ShortVector v = ShortVector.fromMemorySegment(H, ALL, at(x + i * 2L), LITTLE_ENDIAN);
      ((IntVector) v.convertShape(VectorOperators.S2I, I, 0))
          .lanewise(VectorOperators.LSHL, 16)
          .intoMemorySegment(ALL, at(out + i * 4L), LITTLE_ENDIAN);
    }
  }

  /// Normal numbers by integer arithmetic on the magnitude, as [dev.lockstep.tensor.NarrowFloat];
  /// those below by adding a float whose last place is the format's smallest number.
  private static void toE4m3fn(long x, long out, int n) {
    for (int i = 0; i < n; i += LANES) {
      FloatVector v = FloatVector.fromMemorySegment(S, ALL, at(x + i * 4L), LITTLE_ENDIAN);
      IntVector bits = v.reinterpretAsInts();
      IntVector magnitude = bits.and(~SIGN);
      IntVector narrow = magnitude.sub(120 << 23);
      IntVector odd = narrow.lanewise(VectorOperators.LSHR, 20).and(1);
      narrow = narrow.add(odd).add((1 << 19) - 1).lanewise(VectorOperators.LSHR, 20).min(0x7F);
      IntVector small = v.abs().add(0x1p14f).reinterpretAsInts().sub(0x4680_0000);
      VectorMask<Integer> normal = magnitude.compare(VectorOperators.GE, 121 << 23);
      IntVector code = small.blend(narrow, normal);
      code = code.blend(0x7F, magnitude.compare(VectorOperators.GT, INFINITY));
      code = code.or(bits.lanewise(VectorOperators.LSHR, 24).and(0x80));
      if (HAS_BYTES) {
        ((ByteVector) code.convertShape(VectorOperators.I2B, B, 0))
            .intoMemorySegment(ALL, at(out + i), LITTLE_ENDIAN);
      } else {
        LongVector pairs = code.reinterpretAsLongs();
        pairs = pairs.or(pairs.lanewise(VectorOperators.LSHR, 24));
        Memory.i32(out + i, ((int) pairs.lane(0) & 0xFFFF) | ((int) pairs.lane(1) << 16));
      }
    }
  }

  private static void toE5m2(long x, long out, int n) {
    for (int i = 0; i < n; i += LANES) {
      FloatVector v = FloatVector.fromMemorySegment(S, ALL, at(x + i * 4L), LITTLE_ENDIAN);
      IntVector bits = v.reinterpretAsInts();
      IntVector magnitude = bits.and(~SIGN);
      IntVector narrow = magnitude.sub(112 << 23);
      IntVector odd = narrow.lanewise(VectorOperators.LSHR, 21).and(1);
      narrow = narrow.add(odd).add((1 << 20) - 1).lanewise(VectorOperators.LSHR, 21).min(0x7C);
      IntVector small = v.abs().add(0x1p7f).reinterpretAsInts().sub(0x4300_0000);
      VectorMask<Integer> normal = magnitude.compare(VectorOperators.GE, 113 << 23);
      IntVector code = small.blend(narrow, normal);
      code = code.blend(0x7E, magnitude.compare(VectorOperators.GT, INFINITY));
      code = code.or(bits.lanewise(VectorOperators.LSHR, 24).and(0x80));
      if (HAS_BYTES) {
        ((ByteVector) code.convertShape(VectorOperators.I2B, B, 0))
            .intoMemorySegment(ALL, at(out + i), LITTLE_ENDIAN);
      } else {
        LongVector pairs = code.reinterpretAsLongs();
        pairs = pairs.or(pairs.lanewise(VectorOperators.LSHR, 24));
        Memory.i32(out + i, ((int) pairs.lane(0) & 0xFFFF) | ((int) pairs.lane(1) << 16));
      }
    }
  }

  /// The code as exponent and fraction of a float32 that is 2^120 times too small.
  private static void fromE4m3fn(long x, long out, int n) {
    for (int i = 0; i < n; i += LANES) {
      IntVector code;
      if (HAS_BYTES) {
        ByteVector v = ByteVector.fromMemorySegment(B, ALL, at(x + i), LITTLE_ENDIAN);
        code = (IntVector) v.convertShape(VectorOperators.B2I, I, 0);
      } else {
        code = IntVector.broadcast(I, Memory.i32(x + i)).mul(SPREAD);
        code = code.lanewise(VectorOperators.ASHR, 24);
      }
      IntVector magnitude = code.and(0x7F);
      IntVector bits =
          magnitude
              .lanewise(VectorOperators.LSHL, 20)
              .reinterpretAsFloats()
              .mul(0x1p120f)
              .reinterpretAsInts();
      bits = bits.blend(QUIET, magnitude.compare(VectorOperators.EQ, 0x7F));
      bits.or(code.and(SIGN)).intoMemorySegment(ALL, at(out + i * 4L), LITTLE_ENDIAN);
    }
  }

  private static void fromE5m2(long x, long out, int n) {
    for (int i = 0; i < n; i += LANES) {
      IntVector code;
      if (HAS_BYTES) {
        ByteVector v = ByteVector.fromMemorySegment(B, ALL, at(x + i), LITTLE_ENDIAN);
        code = (IntVector) v.convertShape(VectorOperators.B2I, I, 0);
      } else {
        code = IntVector.broadcast(I, Memory.i32(x + i)).mul(SPREAD);
        code = code.lanewise(VectorOperators.ASHR, 24);
      }
      IntVector magnitude = code.and(0x7F);
      IntVector bits =
          magnitude
              .lanewise(VectorOperators.LSHL, 21)
              .reinterpretAsFloats()
              .mul(0x1p112f)
              .reinterpretAsInts();
      bits = bits.blend(INFINITY, magnitude.compare(VectorOperators.EQ, 0x7C));
      bits = bits.blend(QUIET, magnitude.compare(VectorOperators.GT, 0x7C));
      bits.or(code.and(SIGN)).intoMemorySegment(ALL, at(out + i * 4L), LITTLE_ENDIAN);
    }
  }
}
