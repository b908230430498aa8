package dev.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

@Timeout(60)
final class ReducerTest {
  private static final List<ReduceOp> OPS =
      List.of(
          new ReduceOp.Sum(),
          new ReduceOp.Prod(),
          new ReduceOp.Min(),
          new ReduceOp.Max(),
          new ReduceOp.Avg(),
          new ReduceOp.BitAnd(),
          new ReduceOp.BitOr(),
          new ReduceOp.BitXor(),
          new ReduceOp.LogicalAnd(),
          new ReduceOp.LogicalOr(),
          new ReduceOp.LogicalXor());

  static Stream<Arguments> typesAndOps() {
    return Stream.of(DType.values())
        .flatMap(
            dtype -> OPS.stream().filter(op -> op.joins(dtype)).map(op -> Arguments.of(dtype, op)));
  }

  @ParameterizedTest(name = "{0} {1}")
  @MethodSource("typesAndOps")
  void vectorAndScalarGiveTheSameBits(DType dtype, ReduceOp op) {
    var vector = new VectorJoinKernels();
    var scalar = new ScalarJoinKernels();
    int code = code(op);
    SplittableRandom random = new SplittableRandom(11);
    for (int elements : new int[] {0, 1, 3, 15, 16, 17, 64, 1000, 4099}) {
      long bytes = (long) elements * dtype.bytes();
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment a = randomBits(arena, dtype, bytes, random);
        MemorySegment b = randomBits(arena, dtype, bytes, random);
        MemorySegment x = arena.allocate(bytes + 8);
        MemorySegment y = arena.allocate(bytes + 8);
        vector.join(code, dtype, x, 3, a, 1, b, 5, elements);
        scalar.join(code, dtype, y, 3, a, 1, b, 5, elements);
        for (int i = 0; i < elements; i++) {
          assertSame(dtype, x, y, 3 + (long) i * dtype.bytes());
        }
        MemorySegment inPlace = arena.allocate(bytes + 8);
        MemorySegment.copy(a, 1, inPlace, 3, bytes);
        Reducer.reduce(op, dtype, inPlace, 3, b, 5, elements);
        for (int i = 0; i < elements; i++) {
          assertSame(dtype, inPlace, y, 3 + (long) i * dtype.bytes());
        }
        assertThat(x.asSlice(0, 3).mismatch(arena.allocate(3))).isEqualTo(-1);
        assertThat(x.asSlice(3 + bytes, 5).mismatch(arena.allocate(5))).isEqualTo(-1);
      }
    }
  }

  @ParameterizedTest(name = "{0} {1}")
  @MethodSource("typesAndOps")
  void elementsFollowTheirDefinition(DType dtype, ReduceOp op) {
    double[] values = dtype == DType.BOOL ? new double[] {0, 1} : new double[] {0, 1, 2, 3, 5, 96};
    try (Arena arena = Arena.ofConfined()) {
      for (double left : values) {
        for (double right : values) {
          MemorySegment a = arena.allocate(40L * dtype.bytes());
          MemorySegment b = arena.allocate(40L * dtype.bytes());
          for (int i = 0; i < 40; i++) {
            set(dtype, a, i, left);
            set(dtype, b, i, right);
          }
          Reducer.join(op, dtype, a, 0, a, 0, b, 0, 40);
          set(dtype, b, 0, expected(dtype, op, left, right));
          for (int i = 0; i < 40; i++) {
            assertThat(get(dtype, a, i))
                .as("%s %s", left, right)
                .isEqualTo(Double.valueOf(get(dtype, b, 0)));
          }
        }
      }
    }
  }

  private static double expected(DType dtype, ReduceOp op, double a, double b) {
    double result =
        switch (op) {
          case ReduceOp.Sum _, ReduceOp.Avg _ -> a + b;
          case ReduceOp.Prod _ -> a * b;
          case ReduceOp.Min _ -> Math.min(a, b);
          case ReduceOp.Max _ -> Math.max(a, b);
          case ReduceOp.BitAnd _ -> (long) a & (long) b;
          case ReduceOp.BitOr _ -> (long) a | (long) b;
          case ReduceOp.BitXor _ -> (long) a ^ (long) b;
          case ReduceOp.LogicalAnd _ -> a != 0 && b != 0 ? 1 : 0;
          case ReduceOp.LogicalOr _ -> a != 0 || b != 0 ? 1 : 0;
          case ReduceOp.LogicalXor _ -> (a != 0) != (b != 0) ? 1 : 0;
          case ReduceOp.PreMulSum _ -> throw new AssertionError(op);
        };
    return dtype == DType.BOOL ? Math.min(result, 1) : result;
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      mode = EnumSource.Mode.MATCH_ANY,
      names = {"F64", "F32", "BF16", "F16", "F8_.*"})
  void nanWinsAndZerosAreOrdered(DType dtype) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment a = arena.allocate(64L * dtype.bytes());
      MemorySegment b = arena.allocate(64L * dtype.bytes());
      for (ReduceOp op : OPS.stream().filter(op -> op.joins(dtype)).toList()) {
        for (int i = 0; i < 64; i++) {
          set(dtype, a, i, i % 2 == 0 ? Double.NaN : 1);
          set(dtype, b, i, i % 2 == 0 ? 1 : Double.NaN);
        }
        Reducer.reduce(op, dtype, a, 0, b, 0, 64);
        for (int i = 0; i < 64; i++) {
          assertThat(get(dtype, a, i)).as("%s", op).isNaN();
        }
      }
      for (int i = 0; i < 64; i++) {
        set(dtype, a, i, i % 2 == 0 ? 0.0 : -0.0);
        set(dtype, b, i, i % 2 == 0 ? -0.0 : 0.0);
      }
      Reducer.join(new ReduceOp.Min(), dtype, b, 0, a, 0, b, 0, 64);
      for (int i = 0; i < 64; i++) {
        assertThat(1 / get(dtype, b, i)).isEqualTo(Double.NEGATIVE_INFINITY);
      }
    }
  }

  @Test
  void unsignedBytesCompareUnsignedAndIntegersWrap() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment a = arena.allocate(128).fill((byte) 200);
      MemorySegment b = arena.allocate(128).fill((byte) 100);
      Reducer.join(new ReduceOp.Max(), DType.U8, b, 0, a, 0, b, 0, 128);
      assertThat(b.mismatch(a)).isEqualTo(-1);
      Reducer.reduce(new ReduceOp.Sum(), DType.U8, a, 0, b, 0, 128);
      assertThat(a.get(ValueLayout.JAVA_BYTE, 77)).isEqualTo((byte) 400);
      a.set(ValueLayout.JAVA_LONG, 0, Long.MAX_VALUE);
      b.set(ValueLayout.JAVA_LONG, 0, 1);
      Reducer.reduce(new ReduceOp.Sum(), DType.I64, a, 0, b, 0, 1);
      assertThat(a.get(ValueLayout.JAVA_LONG, 0)).isEqualTo(Long.MIN_VALUE);
    }
  }

  @ParameterizedTest
  @EnumSource(DType.class)
  void scalingRoundsOnce(DType dtype) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment a = arena.allocate(40L * dtype.bytes());
      MemorySegment b = arena.allocate(40L * dtype.bytes());
      if (!dtype.isFloat()) {
        assertThatThrownBy(() -> Reducer.scale(dtype, 0.5, b, 0, a, 0, 40))
            .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> Reducer.join(new ReduceOp.Avg(), dtype, b, 0, a, 0, b, 0, 40))
            .isInstanceOf(IllegalArgumentException.class);
        return;
      }
      for (int i = 0; i < 40; i++) {
        set(dtype, a, i, i);
      }
      Reducer.scale(dtype, 0.3, b, 0, a, 0, 40);
      for (int i = 0; i < 40; i++) {
        double product = get(dtype, a, i) * (dtype == DType.F64 ? 0.3 : (double) 0.3f);
        set(dtype, a, 0, product);
        assertThat(get(dtype, b, i)).isEqualTo(get(dtype, a, 0));
        set(dtype, a, 0, 0);
      }
      assertThatThrownBy(() -> Reducer.join(new ReduceOp.BitOr(), dtype, b, 0, a, 0, b, 0, 40))
          .isInstanceOf(IllegalArgumentException.class);
    }
  }

  /// Products just beyond a tie of the narrow type, which float32 rounds onto the tie.
  @ParameterizedTest(name = "{0} {1} * {2}")
  @CsvSource({
    "BF16, 1.5, 0.6692708730697632, 1.0078125",
    "BF16, -1.5, 0.6692708730697632, -1.0078125",
    "F16, 1.25, 0.8003906607627869, 1.0009765625",
    "F8_E4M3FN, 1.5, 0.7083333730697632, 1.125",
    "F8_E5M2, 1.25, 0.9000000357627869, 1.25",
  })
  void scalingRoundsOnceWhatFloatWouldRoundOntoATie(
      DType dtype, float value, float factor, float expected) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment a = arena.allocate(8);
      set(dtype, a, 0, value);
      Reducer.scale(dtype, factor, a, 0, a, 0, 1);
      assertThat(get(dtype, a, 0)).isEqualTo(expected);
    }
  }

  /// From numbers that vanish to numbers that overflow, and factors of few bits, whose products are
  /// ties more often.
  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"BF16", "F16", "F8_E4M3FN", "F8_E4M3", "F8_E5M2"})
  void scalingIsTheExactProductRoundedOnce(DType dtype) {
    SplittableRandom random = new SplittableRandom(15);
    int elements = 4096;
    long bytes = (long) elements * dtype.bytes();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment a = randomBits(arena, dtype, bytes, random);
      MemorySegment b = arena.allocate(bytes);
      MemorySegment expected = arena.allocate(bytes);
      for (int round = 0; round < 64; round++) {
        int fraction = random.nextInt(1 << 23) >>> round % 24 << round % 24;
        float factor =
            Math.scalb(Float.intBitsToFloat(0x3F80_0000 | fraction), random.nextInt(-60, 60));
        Reducer.scale(dtype, factor, b, 0, a, 0, elements);
        for (int i = 0; i < elements; i++) {
          set(dtype, expected, i, NarrowFloat.roundedToOdd(get(dtype, a, i) * factor));
          assertSame(dtype, b, expected, (long) i * dtype.bytes());
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(DType.class)
  void joiningAllocatesNothing(DType dtype) {
    var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    ReduceOp op = new ReduceOp.Sum();
    try (Arena arena = Arena.ofShared()) {
      MemorySegment a = arena.allocate(4096L * dtype.bytes());
      MemorySegment b = arena.allocate(4096L * dtype.bytes());
      long allocated = Long.MAX_VALUE;
      for (int round = 0; round < 40 && allocated != 0; round++) {
        long before = threads.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < 1000; i++) {
          Reducer.reduce(op, dtype, a, 0, b, 0, 4096);
        }
        allocated = threads.getCurrentThreadAllocatedBytes() - before;
      }
      assertThat(allocated).isZero();
    }
  }

  private static int code(ReduceOp op) {
    return switch (op) {
      case ReduceOp.Sum _, ReduceOp.Avg _ -> JoinKernels.SUM;
      case ReduceOp.Prod _ -> JoinKernels.PROD;
      case ReduceOp.Min _ -> JoinKernels.MIN;
      case ReduceOp.Max _ -> JoinKernels.MAX;
      case ReduceOp.BitAnd _ -> JoinKernels.AND;
      case ReduceOp.BitOr _ -> JoinKernels.OR;
      case ReduceOp.BitXor _ -> JoinKernels.XOR;
      case ReduceOp.LogicalAnd _ -> JoinKernels.BOTH;
      case ReduceOp.LogicalOr _ -> JoinKernels.EITHER;
      case ReduceOp.LogicalXor _ -> JoinKernels.ONE;
      case ReduceOp.PreMulSum _ -> throw new AssertionError(op);
    };
  }

  private static MemorySegment randomBits(
      Arena arena, DType dtype, long bytes, SplittableRandom random) {
    MemorySegment segment = arena.allocate(bytes + 8);
    for (long i = 0; i < segment.byteSize(); i++) {
      int bits = dtype == DType.BOOL ? random.nextInt(2) : random.nextInt();
      segment.set(ValueLayout.JAVA_BYTE, i, (byte) bits);
    }
    return segment;
  }

  /// Equal bits, or NaN on both sides: which operand's payload survives is the processor's choice.
  private static void assertSame(DType dtype, MemorySegment x, MemorySegment y, long at) {
    long bits = x.asSlice(at, dtype.bytes()).mismatch(y.asSlice(at, dtype.bytes()));
    if (bits != -1) {
      MemorySegment left = Arena.ofAuto().allocate(8).copyFrom(x.asSlice(at, dtype.bytes()));
      MemorySegment right = Arena.ofAuto().allocate(8).copyFrom(y.asSlice(at, dtype.bytes()));
      assertThat(dtype.isFloat()).as("%s at %d", dtype, at).isTrue();
      assertThat(get(dtype, left, 0)).as("at %d", at).isNaN();
      assertThat(get(dtype, right, 0)).as("at %d", at).isNaN();
    }
  }

  static double get(DType dtype, MemorySegment from, int i) {
    return switch (dtype) {
      case F64 -> from.getAtIndex(ValueLayout.JAVA_DOUBLE, i);
      case F32 -> from.getAtIndex(ValueLayout.JAVA_FLOAT, i);
      case BF16, F16 -> NarrowFloat.decode(dtype, from.getAtIndex(ValueLayout.JAVA_SHORT, i));
      case F8_E4M3FN, F8_E4M3, F8_E5M2 ->
          NarrowFloat.decode(dtype, from.get(ValueLayout.JAVA_BYTE, i));
      case I64 -> from.getAtIndex(ValueLayout.JAVA_LONG, i);
      case I32 -> from.getAtIndex(ValueLayout.JAVA_INT, i);
      case I16 -> from.getAtIndex(ValueLayout.JAVA_SHORT, i);
      case I8, U8, BOOL -> from.get(ValueLayout.JAVA_BYTE, i);
    };
  }

  static void set(DType dtype, MemorySegment to, int i, double value) {
    switch (dtype) {
      case F64 -> to.setAtIndex(ValueLayout.JAVA_DOUBLE, i, value);
      case F32 -> to.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) value);
      case BF16, F16 ->
          to.setAtIndex(
              ValueLayout.JAVA_SHORT, i, (short) NarrowFloat.encode(dtype, (float) value));
      case F8_E4M3FN, F8_E4M3, F8_E5M2 ->
          to.set(ValueLayout.JAVA_BYTE, i, (byte) NarrowFloat.encode(dtype, (float) value));
      case I64 -> to.setAtIndex(ValueLayout.JAVA_LONG, i, (long) value);
      case I32 -> to.setAtIndex(ValueLayout.JAVA_INT, i, (int) value);
      case I16 -> to.setAtIndex(ValueLayout.JAVA_SHORT, i, (short) value);
      case I8, U8, BOOL -> to.set(ValueLayout.JAVA_BYTE, i, (byte) (long) value);
    }
  }
}
