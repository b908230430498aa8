package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Every reduce op on every element type that it joins gives, through a communicator, the bits of
/// its definition; on any other type it is refused. Floats of one and two bytes are joined in
/// `float`, and rounded after each pair: a partial sum that travels is as wide as its elements.
@Timeout(60)
final class OpsOnTypesTest {
  private static final int ELEMENTS = 67;
  private static final double FACTOR = 0.3;
  private static final List<ReduceOp> OPS =
      List.of(
          new ReduceOp.Sum(),
          new ReduceOp.Prod(),
          new ReduceOp.Min(),
          new ReduceOp.Max(),
          new ReduceOp.Avg(),
          new ReduceOp.PreMulSum(FACTOR),
          new ReduceOp.BitAnd(),
          new ReduceOp.BitOr(),
          new ReduceOp.BitXor(),
          new ReduceOp.LogicalAnd(),
          new ReduceOp.LogicalOr(),
          new ReduceOp.LogicalXor());

  @ParameterizedTest(name = "{0}, ranks={1}")
  @CsvSource({"messages-only, 2", "shm, 3"})
  void haveTheBitsOfTheirDefinition(String transport, int ranks) {
    checkAll(transport, ranks);
  }

  @ParameterizedTest(name = "{0}, ranks={1}")
  @CsvSource({"shm, 2", "messages-only, 3", "in-process, 2"})
  @Tag("long")
  void haveThemInOtherWaysToo(String transport, int ranks) {
    checkAll(transport, ranks);
  }

  private static void checkAll(String transport, int ranks) {
    List<Integer> joined =
        Ranks.run(
            ranks,
            SameBitsTest.over(transport),
            rank -> {
              int pairs = 0;
              for (DType dtype : DType.values()) {
                for (ReduceOp op : OPS) {
                  if (op.joins(dtype)) {
                    check(rank, op, dtype);
                    pairs++;
                  } else {
                    isRefused(rank, op, dtype, pairs);
                  }
                }
              }
              return pairs;
            });
    assertThat(joined).containsOnly(4 * 13 + 2 * 7 + 6 * 6);
  }

  private static void check(Ranks.Rank rank, ReduceOp op, DType dtype) {
    int ranks = rank.communicator.size();
    List<MemorySegment> brought = new ArrayList<>();
    for (int from = 0; from < ranks; from++) {
      brought.add(values(dtype, from));
    }
    Tensor in = rank.privateTensor(dtype, ELEMENTS);
    Tensor out = rank.privateTensor(dtype, ELEMENTS);
    in.segment().copyFrom(brought.get(rank.number()));
    rank.communicator.allReduce(in, out, op);
    for (int i = 0; i < ELEMENTS; i++) {
      Number expected = contribution(dtype, op, get(dtype, brought.get(0), i));
      // The tree of two and of three leaves is the chain.
      for (int from = 1; from < ranks; from++) {
        Number next = contribution(dtype, op, get(dtype, brought.get(from), i));
        expected = join(dtype, op, expected, next);
      }
      if (op instanceof ReduceOp.Avg) {
        expected = quotient(dtype, expected, ranks);
      }
      assertThat(get(dtype, out.segment(), i))
          .as("%s of %s, element %d, rank %d", op.label(), dtype, i, rank.number())
          .isEqualTo(expected);
    }
  }

  private static void isRefused(Ranks.Rank rank, ReduceOp op, DType dtype, int sequence) {
    Tensor tensor = rank.privateTensor(dtype, ELEMENTS);
    assertThatThrownBy(() -> rank.communicator.allReduce(tensor, tensor, op))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("op=%s, dtype=%s", op.label(), dtype)
        .hasMessageContaining("op=all_reduce, rank=%d, sequence=%d", rank.number(), sequence);
  }

  /// Elements of which sums and products are rounded, overflow and wrap, zeros of both signs, but
  /// no NaN: of two, which payload survives is the processor's choice.
  private static MemorySegment values(DType dtype, int rank) {
    SplittableRandom random = new SplittableRandom(31L * dtype.safetensorsName().hashCode() + rank);
    MemorySegment made =
        MemorySegment.ofArray(new long[ELEMENTS]).asSlice(0, (long) ELEMENTS * dtype.bytes());
    for (int i = 0; i < ELEMENTS; i++) {
      double small = (random.nextInt(64) - 32) * (i % 3 == 0 ? 1 : 0.37);
      double value = i % 7 == 0 ? small * 1e3 : small;
      switch (dtype) {
        case F64 -> made.setAtIndex(ValueLayout.JAVA_DOUBLE_UNALIGNED, i, value * Math.PI);
        case F32 -> made.setAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, i, (float) value);
        case BF16, F16 ->
            made.setAtIndex(
                ValueLayout.JAVA_SHORT_UNALIGNED,
                i,
                (short) NarrowFloat.encode(dtype, (float) value));
        case F8_E4M3FN, F8_E4M3, F8_E5M2 ->
            made.set(ValueLayout.JAVA_BYTE, i, (byte) NarrowFloat.encode(dtype, (float) small));
        case I64 -> made.setAtIndex(ValueLayout.JAVA_LONG_UNALIGNED, i, integer(random, i));
        case I32 -> made.setAtIndex(ValueLayout.JAVA_INT_UNALIGNED, i, (int) integer(random, i));
        case I16 ->
            made.setAtIndex(ValueLayout.JAVA_SHORT_UNALIGNED, i, (short) integer(random, i));
        case I8, U8 -> made.set(ValueLayout.JAVA_BYTE, i, (byte) integer(random, i));
        case BOOL -> made.set(ValueLayout.JAVA_BYTE, i, (byte) random.nextInt(2));
      }
    }
    return made;
  }

  /// A third of them are 0, for logical ops.
  private static long integer(SplittableRandom random, int i) {
    return i % 3 == 0 ? 0 : random.nextLong();
  }

  /// An element as its value: a `float` for the types of up to four bytes, so that signs of zeros
  /// count in comparisons.
  private static Number get(DType dtype, MemorySegment from, int i) {
    return switch (dtype) {
      case F64 -> from.getAtIndex(ValueLayout.JAVA_DOUBLE_UNALIGNED, i);
      case F32 -> from.getAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, i);
      case BF16, F16 ->
          NarrowFloat.decode(dtype, from.getAtIndex(ValueLayout.JAVA_SHORT_UNALIGNED, i));
      case F8_E4M3FN, F8_E4M3, F8_E5M2 ->
          NarrowFloat.decode(dtype, from.get(ValueLayout.JAVA_BYTE, i));
      case I64 -> from.getAtIndex(ValueLayout.JAVA_LONG_UNALIGNED, i);
      case I32 -> (long) from.getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, i);
      case I16 -> (long) from.getAtIndex(ValueLayout.JAVA_SHORT_UNALIGNED, i);
      case I8 -> (long) from.get(ValueLayout.JAVA_BYTE, i);
      case U8, BOOL -> (long) Byte.toUnsignedInt(from.get(ValueLayout.JAVA_BYTE, i));
    };
  }

  private static Number contribution(DType dtype, ReduceOp op, Number value) {
    if (!(op instanceof ReduceOp.PreMulSum(double factor))) {
      return value;
    }
    return dtype == DType.F64
        ? (Number) (value.doubleValue() * factor)
        : (Number) rounded(dtype, value.floatValue() * (float) factor);
  }

  private static Number quotient(DType dtype, Number sum, int ranks) {
    return dtype == DType.F64
        ? (Number) (sum.doubleValue() / ranks)
        : (Number) rounded(dtype, sum.floatValue() / ranks);
  }

  private static Number join(DType dtype, ReduceOp op, Number a, Number b) {
    if (dtype == DType.F64) {
      return ofDoubles(op, a.doubleValue(), b.doubleValue());
    }
    return dtype.isFloat()
        ? (Number) rounded(dtype, ofFloats(op, a.floatValue(), b.floatValue()))
        : (Number) wrapped(dtype, ofLongs(dtype, op, a.longValue(), b.longValue()));
  }

  private static float rounded(DType dtype, float value) {
    return dtype == DType.F32 ? value : NarrowFloat.decode(dtype, NarrowFloat.encode(dtype, value));
  }

  private static double ofDoubles(ReduceOp op, double a, double b) {
    return switch (op) {
      case ReduceOp.Sum _, ReduceOp.Avg _, ReduceOp.PreMulSum _ -> a + b;
      case ReduceOp.Prod _ -> a * b;
      case ReduceOp.Min _ -> Math.min(a, b);
      case ReduceOp.Max _ -> Math.max(a, b);
      case ReduceOp.BitAnd _,
          ReduceOp.BitOr _,
          ReduceOp.BitXor _,
          ReduceOp.LogicalAnd _,
          ReduceOp.LogicalOr _,
          ReduceOp.LogicalXor _ ->
          throw new AssertionError(op);
    };
  }

  private static float ofFloats(ReduceOp op, float a, float b) {
    return switch (op) {
      case ReduceOp.Sum _, ReduceOp.Avg _, ReduceOp.PreMulSum _ -> a + b;
      case ReduceOp.Prod _ -> a * b;
      case ReduceOp.Min _ -> Math.min(a, b);
      case ReduceOp.Max _ -> Math.max(a, b);
      case ReduceOp.BitAnd _,
          ReduceOp.BitOr _,
          ReduceOp.BitXor _,
          ReduceOp.LogicalAnd _,
          ReduceOp.LogicalOr _,
          ReduceOp.LogicalXor _ ->
          throw new AssertionError(op);
    };
  }

  private static long ofLongs(DType dtype, ReduceOp op, long a, long b) {
    return switch (op) {
      case ReduceOp.Sum _ -> dtype == DType.BOOL ? a | b : a + b;
      case ReduceOp.Prod _ -> a * b;
      case ReduceOp.Min _ -> Math.min(a, b);
      case ReduceOp.Max _ -> Math.max(a, b);
      case ReduceOp.BitAnd _ -> a & b;
      case ReduceOp.BitOr _ -> a | b;
      case ReduceOp.BitXor _ -> a ^ b;
      case ReduceOp.LogicalAnd _ -> a != 0 && b != 0 ? 1 : 0;
      case ReduceOp.LogicalOr _ -> a != 0 || b != 0 ? 1 : 0;
      case ReduceOp.LogicalXor _ -> (a != 0) != (b != 0) ? 1 : 0;
      case ReduceOp.Avg _, ReduceOp.PreMulSum _ -> throw new AssertionError(op);
    };
  }

  private static long wrapped(DType dtype, long value) {
    return switch (dtype) {
      case I64 -> value;
      case I32 -> (int) value;
      case I16 -> (short) value;
      case I8 -> (byte) value;
      case U8, BOOL -> value & 0xFF;
      case F64, F32, BF16, F16, F8_E4M3FN, F8_E4M3, F8_E5M2 -> throw new AssertionError(dtype);
    };
  }
}
