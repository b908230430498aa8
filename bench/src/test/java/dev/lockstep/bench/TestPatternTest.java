package dev.lockstep.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.request.EvenCollective;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import dev.lockstep.transport.Reducer;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(30)
class TestPatternTest {
  private static final int COUNT = 400;

  @ParameterizedTest(name = "type={0}, op={1}, ranks={2}")
  @CsvSource({
    "f8e5m2, avg, 3",
    "f8e5m2, avg, 40",
    "f8e5m2, sum, 40",
    "f8e5m2, mulsum, 40",
    "f8e4m3, avg, 3",
    "f8e4m3, sum, 70",
    "f8e4m3, mulsum, 70",
    "bfloat16, avg, 3",
    "bfloat16, avg, 7",
    "bfloat16, sum, 300",
    "half, avg, 7",
    "float, avg, 7",
    "double, avg, 7",
    "uint8, sum, 200",
    "bool, sum, 3"
  })
  void whatMustComeOutDoesInAnyOrderOfTheSum(String type, String op, int ranks) {
    EvenCollective collective = collective(type, op);
    TestPattern pattern = new TestPattern(collective, ranks);
    int[] ascending = IntStream.range(0, ranks).toArray();
    int[] descending = IntStream.range(0, ranks).map(rank -> ranks - 1 - rank).toArray();
    int[] evenFirst =
        IntStream.range(0, ranks)
            .boxed()
            .sorted((a, b) -> a % 2 - b % 2)
            .mapToInt(a -> a)
            .toArray();
    MemorySegment scratch = elements(collective.dtype());
    for (int[] order : List.of(ascending, descending, evenFirst)) {
      MemorySegment result = reduced(collective, pattern, ranks, order);
      assertThat(pattern.wrong(0, result, scratch, COUNT, 0, COUNT))
          .as(Arrays.toString(order))
          .isZero();
    }
  }

  @ParameterizedTest(name = "type={0}, op={1}, ranks={2}")
  @CsvSource({
    "f8e5m2, avg, 3",
    "f8e5m2, avg, 40",
    "f8e5m2, sum, 40",
    "f8e4m3, mulsum, 70",
    "bfloat16, avg, 17",
    "bfloat16, sum, 300",
    "float, avg, 7"
  })
  void anyMissingContributionIsSeen(String type, String op, int ranks) {
    EvenCollective collective = collective(type, op);
    TestPattern pattern = new TestPattern(collective, ranks);
    MemorySegment scratch = elements(collective.dtype());
    for (int missing = 0; missing < ranks; missing += Math.max(1, ranks / 10)) {
      int without = missing;
      int[] others = IntStream.range(0, ranks).filter(rank -> rank != without).toArray();
      MemorySegment result = reduced(collective, pattern, ranks, others);
      assertThat(pattern.wrong(0, result, scratch, COUNT, 0, COUNT))
          .as("rank %d", missing)
          .isPositive();
    }
  }

  private static EvenCollective collective(String type, String op) {
    return PerfOptions.parse(List.of("all_reduce", "-np", "2", "-d", type, "-o", op))
        .plan()
        .collective();
  }

  private static MemorySegment elements(DType dtype) {
    return MemorySegment.ofArray(new byte[COUNT * dtype.bytes()]);
  }

  /// Joins the contributions one after another, as the ranks do, each rounded to the type.
  private static MemorySegment reduced(
      EvenCollective collective, TestPattern pattern, int ranks, int[] order) {
    DType dtype = collective.dtype();
    MemorySegment sum = elements(dtype);
    MemorySegment next = elements(dtype);
    for (int i = 0; i < order.length; i++) {
      MemorySegment to = i == 0 ? sum : next;
      pattern.fill(order[i], to, COUNT);
      if (NcclTests.op(collective).equals("mulsum")) {
        Reducer.scale(dtype, 2, to, 0, to, 0, COUNT);
      }
      if (i > 0) {
        Reducer.reduce(collective.op(), dtype, sum, 0, next, 0, COUNT);
      }
    }
    if (NcclTests.op(collective).equals("avg")) {
      divide(dtype, sum, ranks);
    }
    return sum;
  }

  /// Divides as the ranks do: small floats in `float`.
  private static void divide(DType dtype, MemorySegment sum, int by) {
    for (long i = 0; i < COUNT; i++) {
      double quotient =
          switch (dtype) {
            case F64 -> sum.getAtIndex(ValueLayout.JAVA_DOUBLE_UNALIGNED, i) / by;
            case F32 -> sum.getAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, i) / by;
            case BF16, F16 ->
                NarrowFloat.decode(dtype, sum.getAtIndex(ValueLayout.JAVA_SHORT_UNALIGNED, i)) / by;
            default -> NarrowFloat.decode(dtype, sum.get(ValueLayout.JAVA_BYTE, i)) / by;
          };
      Elements.set(dtype, sum, i, quotient);
    }
  }
}
