package dev.lockstep.device.cpu;

import static dev.lockstep.device.cpu.Memory.ALL;
import static dev.lockstep.device.cpu.Memory.at;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.invoke.MethodHandles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// [RandomKernels] on the Vector API, one hidden class per width (see [KernelSet]).
///
/// A block's four words are kept in the low halves of 64-bit lanes, where a 32-bit product is
/// whole; blocks of even and of odd number go side by side and meet as 32-bit lanes at the end.
final class VectorRandom implements RandomKernels {
  private static final VectorSpecies<Float> S = KernelSet.species(MethodHandles.lookup());
  private static final VectorSpecies<Long> L = VectorSpecies.of(long.class, S.vectorShape());
  private static final int LANES = S.length();
  private static final int ROUNDS = 10;
  private static final long MULTIPLIER_0 = 0xD2511F53L;
  private static final long MULTIPLIER_1 = 0xCD9E8D57L;
  private static final int WEYL_0 = 0x9E3779B9;
  private static final int WEYL_1 = 0xBB67AE85;
  private static final long WORD = 0xFFFF_FFFFL;
  private static final LongVector EVEN = LongVector.zero(L).addIndex(2);

  /// Elements that 16 blocks make.
  private static final int GROUP = 64;

  @Override
  public void uniform(long seed, long stream, long index, long out, int n) {
    int head = (int) Math.min(n, -index & (GROUP - 1));
    ScalarRandom.elements(seed, stream, index, out, 0, head);
    int end = head + (n - head) / GROUP * GROUP;
    for (int i = head; i < end; i += GROUP) {
      long block = (index + i) >>> 2;
      for (int b = 0; b < 16; b += LANES) {
        blocks(seed, stream, block + b, out + i * 4L + b * 4L);
      }
    }
    ScalarRandom.elements(seed, stream, index, out, end, n);
  }

  /// Makes as many blocks as there are lanes; their four words go 16 elements apart.
  private static void blocks(long seed, long stream, long first, long out) {
    LongVector even = EVEN.add(first);
    LongVector odd = even.add(1);
    LongVector a0 = even.and(WORD);
    LongVector a1 = even.lanewise(VectorOperators.LSHR, 32);
    LongVector a2 = LongVector.broadcast(L, stream & WORD);
    LongVector a3 = LongVector.broadcast(L, stream >>> 32);
    LongVector b0 = odd.and(WORD);
    LongVector b1 = odd.lanewise(VectorOperators.LSHR, 32);
    LongVector b2 = a2;
    LongVector b3 = a3;
    int key0 = (int) seed;
    int key1 = (int) (seed >>> 32);
    for (int round = 0; round < ROUNDS; round++) {
      LongVector k0 = LongVector.broadcast(L, key0 & WORD);
      LongVector k1 = LongVector.broadcast(L, key1 & WORD);
      LongVector p = a0.mul(MULTIPLIER_0);
      LongVector q = a2.mul(MULTIPLIER_1);
      a0 =
          q.lanewise(VectorOperators.LSHR, 32)
              .lanewise(VectorOperators.XOR, a1)
              .lanewise(VectorOperators.XOR, k0);
      a2 =
          p.lanewise(VectorOperators.LSHR, 32)
              .lanewise(VectorOperators.XOR, a3)
              .lanewise(VectorOperators.XOR, k1);
      a1 = q.and(WORD);
      a3 = p.and(WORD);
      LongVector r = b0.mul(MULTIPLIER_0);
      LongVector t = b2.mul(MULTIPLIER_1);
      b0 =
          t.lanewise(VectorOperators.LSHR, 32)
              .lanewise(VectorOperators.XOR, b1)
              .lanewise(VectorOperators.XOR, k0);
      b2 =
          r.lanewise(VectorOperators.LSHR, 32)
              .lanewise(VectorOperators.XOR, b3)
              .lanewise(VectorOperators.XOR, k1);
      b1 = t.and(WORD);
      b3 = r.and(WORD);
      key0 += WEYL_0;
      key1 += WEYL_1;
    }
    IntVector w0 = a0.or(b0.lanewise(VectorOperators.LSHL, 32)).reinterpretAsInts();
    ((FloatVector) w0.lanewise(VectorOperators.LSHR, 8).convert(VectorOperators.I2F, 0))
        .mul(0x1.0p-24f)
        .intoMemorySegment(ALL, at(out + 0L), LITTLE_ENDIAN);
    IntVector w1 = a1.or(b1.lanewise(VectorOperators.LSHL, 32)).reinterpretAsInts();
    ((FloatVector) w1.lanewise(VectorOperators.LSHR, 8).convert(VectorOperators.I2F, 0))
        .mul(0x1.0p-24f)
        .intoMemorySegment(ALL, at(out + 64L), LITTLE_ENDIAN);
    IntVector w2 = a2.or(b2.lanewise(VectorOperators.LSHL, 32)).reinterpretAsInts();
    ((FloatVector) w2.lanewise(VectorOperators.LSHR, 8).convert(VectorOperators.I2F, 0))
        .mul(0x1.0p-24f)
        .intoMemorySegment(ALL, at(out + 128L), LITTLE_ENDIAN);
    IntVector w3 = a3.or(b3.lanewise(VectorOperators.LSHL, 32)).reinterpretAsInts();
    ((FloatVector) w3.lanewise(VectorOperators.LSHR, 8).convert(VectorOperators.I2F, 0))
        .mul(0x1.0p-24f)
        .intoMemorySegment(ALL, at(out + 192L), LITTLE_ENDIAN);
  }

  @Override
  public void drop(long random, float rate, long x, float scale, long out, int n) {
    int whole = n - n % LANES;
    for (int i = 0; i < whole; i += LANES) {
      FloatVector u = FloatVector.fromMemorySegment(S, ALL, at(random + i * 4L), LITTLE_ENDIAN);
      FloatVector.fromMemorySegment(S, ALL, at(x + i * 4L), LITTLE_ENDIAN)
          .mul(scale)
          .blend(0f, u.compare(VectorOperators.LT, rate))
          .intoMemorySegment(ALL, at(out + i * 4L), LITTLE_ENDIAN);
    }
    ScalarRandom.dropRange(random, rate, x, scale, out, whole, n);
  }
}
