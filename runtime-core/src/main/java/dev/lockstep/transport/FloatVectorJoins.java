package dev.lockstep.transport;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/// Joins of floats, a vector at a time: `d = a (op) b`, `n` being a multiple of the vector's
/// length.
///
/// One small method per type and op: a vector handed to code that is not inlined, or joined by an
/// op that is not a constant, is an object on the heap, and the compiler inlines less in large
/// methods.
final class FloatVectorJoins {
  static final VectorSpecies<Double> DOUBLES = DoubleVector.SPECIES_PREFERRED;
  static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
  static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
  private static final VectorSpecies<Short> HALVES =
      VectorSpecies.of(short.class, VectorShape.forBitSize(INTS.vectorBitSize() / 2));
  private static final ByteOrder LE = ByteOrder.LITTLE_ENDIAN;

  private FloatVectorJoins() {}

  /// Joins `F64`.
  static void doubles(
      int op,
      MemorySegment d,
      long dAt,
      MemorySegment a,
      long aAt,
      MemorySegment b,
      long bAt,
      int n) {
    switch (op) {
      case JoinKernels.SUM -> addDoubles(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.PROD -> multiplyDoubles(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.MIN -> leastDoubles(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.MAX -> greatestDoubles(d, dAt, a, aAt, b, bAt, n);
      default -> throw new AssertionError(op);
    }
  }

  private static void addDoubles(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += DOUBLES.length()) {
      long at = 8L * i;
      DoubleVector x = DoubleVector.fromMemorySegment(DOUBLES, a, aAt + at, LE);
      DoubleVector y = DoubleVector.fromMemorySegment(DOUBLES, b, bAt + at, LE);
      x.add(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void multiplyDoubles(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += DOUBLES.length()) {
      long at = 8L * i;
      DoubleVector x = DoubleVector.fromMemorySegment(DOUBLES, a, aAt + at, LE);
      DoubleVector y = DoubleVector.fromMemorySegment(DOUBLES, b, bAt + at, LE);
      x.mul(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void leastDoubles(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += DOUBLES.length()) {
      long at = 8L * i;
      DoubleVector x = DoubleVector.fromMemorySegment(DOUBLES, a, aAt + at, LE);
      DoubleVector y = DoubleVector.fromMemorySegment(DOUBLES, b, bAt + at, LE);
      x.min(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void greatestDoubles(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += DOUBLES.length()) {
      long at = 8L * i;
      DoubleVector x = DoubleVector.fromMemorySegment(DOUBLES, a, aAt + at, LE);
      DoubleVector y = DoubleVector.fromMemorySegment(DOUBLES, b, bAt + at, LE);
      x.max(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  /// Joins `F32`.
  static void floats(
      int op,
      MemorySegment d,
      long dAt,
      MemorySegment a,
      long aAt,
      MemorySegment b,
      long bAt,
      int n) {
    switch (op) {
      case JoinKernels.SUM -> addFloats(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.PROD -> multiplyFloats(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.MIN -> leastFloats(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.MAX -> greatestFloats(d, dAt, a, aAt, b, bAt, n);
      default -> throw new AssertionError(op);
    }
  }

  private static void addFloats(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += FLOATS.length()) {
      long at = 4L * i;
      FloatVector x = FloatVector.fromMemorySegment(FLOATS, a, aAt + at, LE);
      FloatVector y = FloatVector.fromMemorySegment(FLOATS, b, bAt + at, LE);
      x.add(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void multiplyFloats(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += FLOATS.length()) {
      long at = 4L * i;
      FloatVector x = FloatVector.fromMemorySegment(FLOATS, a, aAt + at, LE);
      FloatVector y = FloatVector.fromMemorySegment(FLOATS, b, bAt + at, LE);
      x.mul(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void leastFloats(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += FLOATS.length()) {
      long at = 4L * i;
      FloatVector x = FloatVector.fromMemorySegment(FLOATS, a, aAt + at, LE);
      FloatVector y = FloatVector.fromMemorySegment(FLOATS, b, bAt + at, LE);
      x.min(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void greatestFloats(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += FLOATS.length()) {
      long at = 4L * i;
      FloatVector x = FloatVector.fromMemorySegment(FLOATS, a, aAt + at, LE);
      FloatVector y = FloatVector.fromMemorySegment(FLOATS, b, bAt + at, LE);
      x.max(y).intoMemorySegment(d, dAt + at, LE);
    }
  }

  /// Joins `BF16` in `float`.
  static void bfloats(
      int op,
      MemorySegment d,
      long dAt,
      MemorySegment a,
      long aAt,
      MemorySegment b,
      long bAt,
      int n) {
    switch (op) {
      case JoinKernels.SUM -> addBfloats(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.PROD -> multiplyBfloats(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.MIN -> leastBfloats(d, dAt, a, aAt, b, bAt, n);
      case JoinKernels.MAX -> greatestBfloats(d, dAt, a, aAt, b, bAt, n);
      default -> throw new AssertionError(op);
    }
  }

  private static void addBfloats(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += INTS.length()) {
      long at = 2L * i;
      FloatVector x = widen(ShortVector.fromMemorySegment(HALVES, a, aAt + at, LE));
      FloatVector y = widen(ShortVector.fromMemorySegment(HALVES, b, bAt + at, LE));
      narrow(x.add(y)).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void multiplyBfloats(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += INTS.length()) {
      long at = 2L * i;
      FloatVector x = widen(ShortVector.fromMemorySegment(HALVES, a, aAt + at, LE));
      FloatVector y = widen(ShortVector.fromMemorySegment(HALVES, b, bAt + at, LE));
      narrow(x.mul(y)).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void leastBfloats(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += INTS.length()) {
      long at = 2L * i;
      FloatVector x = widen(ShortVector.fromMemorySegment(HALVES, a, aAt + at, LE));
      FloatVector y = widen(ShortVector.fromMemorySegment(HALVES, b, bAt + at, LE));
      narrow(x.min(y)).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static void greatestBfloats(
      MemorySegment d, long dAt, MemorySegment a, long aAt, MemorySegment b, long bAt, int n) {
    for (int i = 0; i < n; i += INTS.length()) {
      long at = 2L * i;
      FloatVector x = widen(ShortVector.fromMemorySegment(HALVES, a, aAt + at, LE));
      FloatVector y = widen(ShortVector.fromMemorySegment(HALVES, b, bAt + at, LE));
      narrow(x.max(y)).intoMemorySegment(d, dAt + at, LE);
    }
  }

  private static FloatVector widen(ShortVector halves) {
    return ((IntVector) halves.convertShape(VectorOperators.ZERO_EXTEND_S2I, INTS, 0))
        .lanewise(VectorOperators.LSHL, 16)
        .reinterpretAsFloats();
  }

  /// Rounds to bfloat16 exactly as [dev.lockstep.tensor.NarrowFloat#toBf16] does.
  private static ShortVector narrow(FloatVector value) {
    IntVector bits = value.reinterpretAsInts();
    IntVector high = bits.lanewise(VectorOperators.LSHR, 16);
    IntVector rounded = bits.add(high.and(1)).add(0x7FFF).lanewise(VectorOperators.LSHR, 16);
    IntVector quiet = high.or(0x40);
    IntVector result = rounded.blend(quiet, value.test(VectorOperators.IS_NAN).cast(INTS));
    return (ShortVector) result.convertShape(VectorOperators.I2S, HALVES, 0);
  }
}
