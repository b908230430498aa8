package dev.lockstep.transport;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// Joins of integers and truth values, a vector at a time, in the manner of [FloatVectorJoins].
final class IntegerVectorJoins {
  static final VectorSpecies<Long> LONGS = LongVector.SPECIES_PREFERRED;
  static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
  static final VectorSpecies<Short> SHORTS = ShortVector.SPECIES_PREFERRED;
  static final VectorSpecies<Byte> BYTES = ByteVector.SPECIES_PREFERRED;
  private static final ByteOrder LE = ByteOrder.LITTLE_ENDIAN;

  private IntegerVectorJoins() {}

  /// Joins `I64`.
  static void longs(
      int op,
      MemorySegment d,
      long dAt,
      MemorySegment a,
      long aAt,
      MemorySegment b,
      long bAt,
      int n) {
    switch (op) {
      case JoinKernels.SUM -> addLongs(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.PROD -> multiplyLongs(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.MIN -> leastLongs(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.MAX -> greatestLongs(d, dAt, a, aAt, b, bAt, n);
      default -> throw new AssertionError(op);
    }
  }

  private static void addLongs(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += LONGS.length()) {
      long at = 8L * i;
      LongVector x = LongVector.fromMemorySegment(LONGS, a, aAt + at, LE);
      LongVector y = LongVector.fromMemorySegment(LONGS, b, bAt + at, LE);
      x.add(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void multiplyLongs(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += LONGS.length()) {
      long at = 8L * i;
      LongVector x = LongVector.fromMemorySegment(LONGS, a, aAt + at, LE);
      LongVector y = LongVector.fromMemorySegment(LONGS, b, bAt + at, LE);
      x.mul(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void leastLongs(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += LONGS.length()) {
      long at = 8L * i;
      LongVector x = LongVector.fromMemorySegment(LONGS, a, aAt + at, LE);
      LongVector y = LongVector.fromMemorySegment(LONGS, b, bAt + at, LE);
      x.min(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void greatestLongs(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += LONGS.length()) {
      long at = 8L * i;
      LongVector x = LongVector.fromMemorySegment(LONGS, a, aAt + at, LE);
      LongVector y = LongVector.fromMemorySegment(LONGS, b, bAt + at, LE);
      x.max(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  /// Joins `I32`.
  static void ints(
      int op,
      MemorySegment d,
      long dAt,
      MemorySegment a,
      long aAt,
      MemorySegment b,
      long bAt,
      int n) {
    switch (op) {
      case JoinKernels.SUM -> addInts(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.PROD -> multiplyInts(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.MIN -> leastInts(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.MAX -> greatestInts(d, dAt, a, aAt, b, bAt, n);
      default -> throw new AssertionError(op);
    }
  }

  private static void addInts(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += INTS.length()) {
      long at = 4L * i;
      IntVector x = IntVector.fromMemorySegment(INTS, a, aAt + at, LE);
      IntVector y = IntVector.fromMemorySegment(INTS, b, bAt + at, LE);
      x.add(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void multiplyInts(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += INTS.length()) {
      long at = 4L * i;
      IntVector x = IntVector.fromMemorySegment(INTS, a, aAt + at, LE);
      IntVector y = IntVector.fromMemorySegment(INTS, b, bAt + at, LE);
      x.mul(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void leastInts(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += INTS.length()) {
      long at = 4L * i;
      IntVector x = IntVector.fromMemorySegment(INTS, a, aAt + at, LE);
      IntVector y = IntVector.fromMemorySegment(INTS, b, bAt + at, LE);
      x.min(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void greatestInts(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += INTS.length()) {
      long at = 4L * i;
      IntVector x = IntVector.fromMemorySegment(INTS, a, aAt + at, LE);
      IntVector y = IntVector.fromMemorySegment(INTS, b, bAt + at, LE);
      x.max(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  /// Joins `I16`.
  static void shorts(
      int op,
      MemorySegment d,
      long dAt,
      MemorySegment a,
      long aAt,
      MemorySegment b,
      long bAt,
      int n) {
    switch (op) {
      case JoinKernels.SUM -> addShorts(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.PROD -> multiplyShorts(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.MIN -> leastShorts(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.MAX -> greatestShorts(d, dAt, a, aAt, b, bAt, n);
      default -> throw new AssertionError(op);
    }
  }

  private static void addShorts(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += SHORTS.length()) {
      long at = 2L * i;
      ShortVector x = ShortVector.fromMemorySegment(SHORTS, a, aAt + at, LE);
      ShortVector y = ShortVector.fromMemorySegment(SHORTS, b, bAt + at, LE);
      x.add(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void multiplyShorts(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += SHORTS.length()) {
      long at = 2L * i;
      ShortVector x = ShortVector.fromMemorySegment(SHORTS, a, aAt + at, LE);
      ShortVector y = ShortVector.fromMemorySegment(SHORTS, b, bAt + at, LE);
      x.mul(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void leastShorts(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += SHORTS.length()) {
      long at = 2L * i;
      ShortVector x = ShortVector.fromMemorySegment(SHORTS, a, aAt + at, LE);
      ShortVector y = ShortVector.fromMemorySegment(SHORTS, b, bAt + at, LE);
      x.min(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void greatestShorts(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += SHORTS.length()) {
      long at = 2L * i;
      ShortVector x = ShortVector.fromMemorySegment(SHORTS, a, aAt + at, LE);
      ShortVector y = ShortVector.fromMemorySegment(SHORTS, b, bAt + at, LE);
      x.max(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  /// Joins `I8`.
  static void bytes(
      int op,
      MemorySegment d,
      long dAt,
      MemorySegment a,
      long aAt,
      MemorySegment b,
      long bAt,
      int n) {
    switch (op) {
      case JoinKernels.SUM -> addBytes(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.PROD -> multiplyBytes(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.MIN -> leastBytes(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.MAX -> greatestBytes(d, dAt, a, aAt, b, bAt, n);
      default -> throw new AssertionError(op);
    }
  }

  private static void addBytes(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += BYTES.length()) {
      long at = (long) i;
      ByteVector x = ByteVector.fromMemorySegment(BYTES, a, aAt + at, LE);
      ByteVector y = ByteVector.fromMemorySegment(BYTES, b, bAt + at, LE);
      x.add(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void multiplyBytes(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += BYTES.length()) {
      long at = (long) i;
      ByteVector x = ByteVector.fromMemorySegment(BYTES, a, aAt + at, LE);
      ByteVector y = ByteVector.fromMemorySegment(BYTES, b, bAt + at, LE);
      x.mul(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void leastBytes(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += BYTES.length()) {
      long at = (long) i;
      ByteVector x = ByteVector.fromMemorySegment(BYTES, a, aAt + at, LE);
      ByteVector y = ByteVector.fromMemorySegment(BYTES, b, bAt + at, LE);
      x.min(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void greatestBytes(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += BYTES.length()) {
      long at = (long) i;
      ByteVector x = ByteVector.fromMemorySegment(BYTES, a, aAt + at, LE);
      ByteVector y = ByteVector.fromMemorySegment(BYTES, b, bAt + at, LE);
      x.max(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  /// Joins `U8`: sums and products have the bits of signed ones.
  static void unsignedBytes(
      int op,
      MemorySegment d,
      long dAt,
      MemorySegment a,
      long aAt,
      MemorySegment b,
      long bAt,
      int n) {
    switch (op) {
      case JoinKernels.MIN -> leastUnsignedBytes(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.MAX -> greatestUnsignedBytes(d, dAt, a, aAt, b, bAt, n);
      default -> bytes(op, d, dAt, a, aAt, b, bAt, n);
    }
  }

  private static void leastUnsignedBytes(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += BYTES.length()) {
      long at = (long) i;
      ByteVector x = ByteVector.fromMemorySegment(BYTES, a, aAt + at, LE);
      ByteVector y = ByteVector.fromMemorySegment(BYTES, b, bAt + at, LE);
      x.lanewise(VectorOperators.UMIN, y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void greatestUnsignedBytes(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += BYTES.length()) {
      long at = (long) i;
      ByteVector x = ByteVector.fromMemorySegment(BYTES, a, aAt + at, LE);
      ByteVector y = ByteVector.fromMemorySegment(BYTES, b, bAt + at, LE);
      x.lanewise(VectorOperators.UMAX, y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  /// Joins `n` bytes bit by bit, of whatever type.
  static void bits(
      int op,
      MemorySegment d,
      long dAt,
      MemorySegment a,
      long aAt,
      MemorySegment b,
      long bAt,
      int n) {
    switch (op) {
      case JoinKernels.AND -> andBits(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.OR -> orBits(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.XOR -> xorBits(d, dAt, a, aAt, b, bAt, n);
      default -> throw new AssertionError(op);
    }
  }

  private static void orBits(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += BYTES.length()) {
      long at = (long) i;
      ByteVector x = ByteVector.fromMemorySegment(BYTES, a, aAt + at, LE);
      ByteVector y = ByteVector.fromMemorySegment(BYTES, b, bAt + at, LE);
      x.or(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void andBits(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += BYTES.length()) {
      long at = (long) i;
      ByteVector x = ByteVector.fromMemorySegment(BYTES, a, aAt + at, LE);
      ByteVector y = ByteVector.fromMemorySegment(BYTES, b, bAt + at, LE);
      x.and(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void xorBits(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += BYTES.length()) {
      long at = (long) i;
      ByteVector x = ByteVector.fromMemorySegment(BYTES, a, aAt + at, LE);
      ByteVector y = ByteVector.fromMemorySegment(BYTES, b, bAt + at, LE);
      x.lanewise(VectorOperators.XOR, y).intoMemorySegment(d, dAt + at, LE);
    }
  }
}
