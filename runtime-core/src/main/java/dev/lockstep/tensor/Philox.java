package dev.lockstep.tensor;

import dev.lockstep.cache.Digests;
import java.nio.charset.StandardCharsets;

/// Random numbers by counter: Philox4x32 with 10 rounds (Salmon, Moraes, Dror, Shaw, "Parallel
/// random numbers: as easy as 1, 2, 3", 2011). A number is a pure function of (seed, stream,
/// index), so any rank can make any of them in any order. Allocation-free.
public final class Philox {
  private static final int MULTIPLIER_0 = 0xD2511F53;
  private static final int MULTIPLIER_1 = 0xCD9E8D57;
  private static final int WEYL_0 = 0x9E3779B9;
  private static final int WEYL_1 = 0xBB67AE85;
  private static final int ROUNDS = 10;

  private Philox() {}

  /// Returns 64 random bits: words 0 and 1 of the block whose key is `seed` and whose counter is
  /// (`index`, `stream`), word 0 lowest.
  public static long bits(long seed, long stream, long index) {
    return half(seed, stream, index, false);
  }

  /// Returns 64 more random bits of the same block: words 2 and 3, word 2 lowest.
  public static long moreBits(long seed, long stream, long index) {
    return half(seed, stream, index, true);
  }

  private static long half(long seed, long stream, long index, boolean upper) {
    int c0 = (int) index;
    int c1 = (int) (index >>> 32);
    int c2 = (int) stream;
    int c3 = (int) (stream >>> 32);
    int k0 = (int) seed;
    int k1 = (int) (seed >>> 32);
    for (int round = 0; round < ROUNDS; round++) {
      long product0 = (MULTIPLIER_0 & 0xFFFFFFFFL) * (c0 & 0xFFFFFFFFL);
      long product1 = (MULTIPLIER_1 & 0xFFFFFFFFL) * (c2 & 0xFFFFFFFFL);
      int next0 = (int) (product1 >>> 32) ^ c1 ^ k0;
      int next2 = (int) (product0 >>> 32) ^ c3 ^ k1;
      c1 = (int) product1;
      c3 = (int) product0;
      c0 = next0;
      c2 = next2;
      k0 += WEYL_0;
      k1 += WEYL_1;
    }
    return upper ? (c2 & 0xFFFFFFFFL) | ((long) c3 << 32) : (c0 & 0xFFFFFFFFL) | ((long) c1 << 32);
  }

  /// Returns a number in [0, 1) with 24 random bits.
  public static float uniform(long seed, long stream, long index) {
    return (bits(seed, stream, index) >>> 40) * 0x1.0p-24f;
  }

  /// Returns element `index` of an unending row of numbers in [0, 1) with 24 random bits, four to a
  /// block: element `64 a + 16 w + b` is the upper part of word `w` of block `16 a + b`, so that
  /// vectors of up to 16 blocks make elements that lie side by side.
  public static float element(long seed, long stream, long index) {
    long block = (index >>> 6) * 16 + (index & 15);
    int word = (int) (index >>> 4) & 3;
    long bits = word < 2 ? bits(seed, stream, block) : moreBits(seed, stream, block);
    int upper = (int) (bits >>> (32 * (word & 1))) >>> 8;
    return upper * 0x1.0p-24f;
  }

  /// Returns an integer in [0, `bound`): the high half of the product of 64 random bits and
  /// `bound`.
  ///
  /// @param bound at least 1
  public static long below(long seed, long stream, long index, long bound) {
    if (bound < 1) {
      throw new IllegalArgumentException("bound must be at least 1: bound=" + bound);
    }
    return Math.unsignedMultiplyHigh(bits(seed, stream, index), bound);
  }

  /// Returns a number of the standard normal distribution (Box and Muller in binary64 by
  /// [StrictMath], rounded to binary32).
  public static float normal(long seed, long stream, long index) {
    long bits = bits(seed, stream, index);
    double radius = ((bits & 0xFFFFFFFFL) + 1) * 0x1.0p-32;
    double angle = (bits >>> 32) * 0x1.0p-32;
    return (float)
        (StrictMath.sqrt(-2 * StrictMath.log(radius)) * StrictMath.cos(2 * Math.PI * angle));
  }

  /// Returns the stream that belongs to a name: the first eight bytes of its SHA-256,
  /// little-endian.
  public static long stream(String name) {
    byte[] digest = Digests.sha256().digest(name.getBytes(StandardCharsets.UTF_8));
    long stream = 0;
    for (int i = 7; i >= 0; i--) {
      stream = stream << 8 | (digest[i] & 0xFF);
    }
    return stream;
  }
}
