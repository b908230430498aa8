package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.BiConsumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Every reduce op on every element type that it joins gives, through a communicator, the bits of
/// its definition; on any other type it is refused. Floats of one and two bytes are joined in
/// `float`, and rounded after each pair: a partial sum that travels is as wide as its elements.
@Timeout(60)
final class OpsOnTypesTest {
  /// So few that ranks send each other all of them, and more than any type's short message holds:
  /// these are read and written where they lie in peers' memory, if ranks share it.
  private static final int FEW = 67;

  private static final int MANY = 2051;
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
  private static final List<DType> TYPES = List.of(DType.values());
  private static final List<CollectiveKind> REDUCING =
      Stream.of(CollectiveKind.values()).filter(CollectiveKind::reduces).toList();

  @ParameterizedTest(name = "{0}, ranks={1}")
  @CsvSource({"messages-only, 2", "shm, 3"})
  void haveTheBitsOfTheirDefinition(String transport, int ranks) {
    checkAll(transport, ranks, List.of(FEW, MANY), OpsOnTypesTest::call);
  }

  @ParameterizedTest(name = "{0}, ranks={1}")
  @CsvSource({"shm, 2", "messages-only, 3", "in-process, 2", "unsteady-peers, 3"})
  @Tag("long")
  void haveThemInOtherWaysToo(String transport, int ranks) {
    checkAll(transport, ranks, List.of(FEW, MANY), OpsOnTypesTest::call);
  }

  @ParameterizedTest(name = "{0}, ranks={1}")
  @CsvSource({"shm, 3"})
  void haveThemByEveryAlgorithm(String transport, int ranks) {
    checkAll(transport, ranks, List.of(MANY), OpsOnTypesTest::runAlgorithmsOfOneKind);
  }

  @ParameterizedTest(name = "{0}, ranks={1}")
  @CsvSource({"shm, 2", "in-process, 4"})
  @Tag("long")
  void haveThemByEveryAlgorithmInOtherWaysToo(String transport, int ranks) {
    checkAll(transport, ranks, List.of(MANY), OpsOnTypesTest::runAlgorithmsOfEveryKind);
  }

  @ParameterizedTest(name = "{0}, ranks={1}")
  @CsvSource({"unsteady-peers, 3"})
  @Tag("long")
  void haveThemByEveryAlgorithmWhereSignalsComeLate(String transport, int ranks) {
    checkAll(transport, ranks, List.of(MANY), OpsOnTypesTest::runAlgorithmsOfOneKind);
  }

  private static void checkAll(
      String transport, int ranks, List<Integer> sizes, BiConsumer<Mine, Reduction> check) {
    List<Integer> joined =
        Ranks.run(
            ranks,
            SameBitsTest.over(transport),
            rank -> {
              Mine my = new Mine(rank);
              int pairs = 0;
              for (DType dtype : TYPES) {
                for (ReduceOp op : OPS) {
                  if (op.joins(dtype)) {
                    for (int elements : sizes) {
                      check.accept(my, Reduction.of(op, dtype, elements, ranks));
                    }
                    pairs++;
                  } else {
                    isRefused(rank, op, dtype);
                  }
                }
              }
              return pairs;
            });
    assertThat(joined).containsOnly(4 * 13 + 2 * 7 + 6 * 6);
  }

  /// Elements that ranks bring, and what comes of them.
  ///
  /// @param brought by rank
  /// @param expected in the order of the lane tree
  private record Reduction(
      ReduceOp op, DType dtype, List<MemorySegment> brought, List<Number> expected) {
    static Reduction of(ReduceOp op, DType dtype, int elements, int ranks) {
      List<MemorySegment> brought = new ArrayList<>();
      for (int from = 0; from < ranks; from++) {
        brought.add(values(dtype, from, elements));
      }
      List<Number> expected = new ArrayList<>();
      for (int i = 0; i < elements; i++) {
        Number joined = sum(op, dtype, brought, new Subtree(0, ranks), i);
        expected.add(op instanceof ReduceOp.Avg ? quotient(dtype, joined, ranks) : joined);
      }
      return new Reduction(op, dtype, brought, expected);
    }

    private static Number sum(
        ReduceOp op, DType dtype, List<MemorySegment> brought, Subtree of, int i) {
      if (of.size() == 1) {
        return contribution(dtype, op, get(dtype, brought.get(of.first()), i));
      }
      int left = SumTree.left(of.size());
      return join(
          dtype,
          op,
          sum(op, dtype, brought, new Subtree(of.first(), left), i),
          sum(op, dtype, brought, new Subtree(of.first() + left, of.size() - left), i));
    }

    int elements() {
      return expected.size();
    }

    /// Whether the order in which ranks' elements are joined changes nothing.
    boolean isTheSameInAnyOrder() {
      boolean rounds = !(op instanceof ReduceOp.Min || op instanceof ReduceOp.Max);
      return brought.size() == 2 || !dtype.isFloat() || !rounds;
    }

    /// The part that a rank gets of a reduce-scatter: the last one's is longer.
    List<Long> parts() {
      int ranks = brought.size();
      List<Long> parts = new ArrayList<>(Collections.nCopies(ranks, (long) elements() / ranks));
      parts.set(ranks - 1, elements() - (ranks - 1L) * parts.getFirst());
      return parts;
    }

    /// Fails unless a tensor holds what is expected from some element on.
    void check(Tensor tensor, int from, String how) {
      MemorySegment found = tensor.segment();
      for (int i = 0; i < tensor.shape().elements(); i++) {
        Number element = get(dtype, found, i);
        if (!element.equals(expected.get(from + i))) {
          throw new AssertionError(
              "%s of %s by %s: element %d of %d is %s, expected %s"
                  .formatted(
                      op.label(),
                      dtype,
                      how,
                      from + i,
                      elements(),
                      element,
                      expected.get(from + i)));
        }
      }
    }
  }

  /// One rank's memory: large enough for any reduction, and of each kind.
  private static final class Mine {
    private final Ranks.Rank rank;
    private final Tensor sharedIn;
    private final Tensor sharedOut;
    private final Tensor privateIn;
    private final Tensor privateOut;

    Mine(Ranks.Rank rank) {
      this.rank = rank;
      this.sharedIn = rank.sharedTensor(DType.F64, MANY);
      this.sharedOut = rank.sharedTensor(DType.F64, MANY);
      this.privateIn = rank.privateTensor(DType.F64, MANY);
      this.privateOut = rank.privateTensor(DType.F64, MANY);
    }

    int number() {
      return rank.number();
    }

    Tensor filled(Tensor memory, Reduction reduction) {
      Tensor in = slice(memory, reduction.dtype(), 0, reduction.elements());
      in.segment().copyFrom(reduction.brought().get(number()));
      return in;
    }
  }

  private static Tensor slice(Tensor memory, DType dtype, long from, long elements) {
    long offset = memory.offset() + from * dtype.bytes();
    return new Tensor(memory.buffer(), offset, dtype, Shape.of(elements));
  }

  private static void call(Mine my, Reduction reduction) {
    Communicator all = my.rank.communicator;
    ReduceOp op = reduction.op();
    DType dtype = reduction.dtype();
    int root = all.size() - 1;
    boolean isRoot = my.number() == root;
    Tensor in = my.filled(my.privateIn, reduction);
    Tensor out = slice(my.privateOut, dtype, 0, reduction.elements());
    all.allReduce(in, out, op);
    reduction.check(out, 0, "all_reduce");
    out.segment().fill((byte) 0);
    all.reduce(in, isRoot ? out : null, op, root);
    if (isRoot) {
      reduction.check(out, 0, "reduce");
    }
    List<Long> parts = reduction.parts();
    int from = Math.toIntExact(my.number() * parts.getFirst());
    Tensor part = slice(my.privateOut, dtype, 0, parts.get(my.number()));
    part.segment().fill((byte) 0);
    all.reduceScatterV(in, part, op, parts);
    reduction.check(part, from, "reduce_scatter");
  }

  private static void runAlgorithmsOfEveryKind(Mine my, Reduction reduction) {
    REDUCING.forEach(kind -> runAlgorithms(my, reduction, kind));
  }

  /// The kinds take turns, so that each op meets all of them on one type or another.
  private static void runAlgorithmsOfOneKind(Mine my, Reduction reduction) {
    int turn = OPS.indexOf(reduction.op()) + TYPES.indexOf(reduction.dtype());
    runAlgorithms(my, reduction, REDUCING.get(turn % REDUCING.size()));
  }

  /// In both modes, of which one allows any order; every other op in place.
  private static void runAlgorithms(Mine my, Reduction reduction, CollectiveKind kind) {
    Topology topology = my.rank.communicator.topology();
    LaneSplit lanes = LaneSplit.onePerRank(topology.ranks());
    boolean inPlace = OPS.indexOf(reduction.op()) % 2 == 0;
    boolean inParts = kind == CollectiveKind.REDUCE_SCATTER;
    Counts counts = inParts ? Counts.of(reduction.parts()) : Counts.one(reduction.elements());
    int root = kind == CollectiveKind.REDUCE ? topology.ranks() - 1 : -1;
    for (Mode mode : Mode.values()) {
      if (mode == Mode.SAME_BITS || reduction.isTheSameInAnyOrder()) {
        CollectiveRequest request =
            new CollectiveRequest(
                kind,
                reduction.dtype(),
                reduction.op(),
                root,
                counts,
                inPlace,
                topology,
                lanes,
                mode);
        run(my, reduction, request);
      }
    }
  }

  private static void run(Mine my, Reduction reduction, CollectiveRequest request) {
    int me = my.number();
    long elements = request.outputElements(me);
    int from =
        request.kind() == CollectiveKind.REDUCE_SCATTER
            ? Math.toIntExact(me * reduction.parts().getFirst())
            : 0;
    Tensor memory = request.inPlace() ? my.sharedIn : my.sharedOut;
    Tensor out =
        slice(memory, reduction.dtype(), request.inPlace() ? from : 0, Math.max(1, elements));
    for (Algorithm algorithm : Algorithms.applicable(request)) {
      out.segment().fill((byte) 0);
      Tensor in = my.filled(my.sharedIn, reduction);
      try (PreparedCollective prepared =
          my.rank.communicator.prepare(
              request, algorithm, List.of(in), elements == 0 ? null : out)) {
        prepared.run();
      }
      if (elements > 0) {
        reduction.check(out, from, algorithm.name());
      }
    }
  }

  private static void isRefused(Ranks.Rank rank, ReduceOp op, DType dtype) {
    Tensor tensor = rank.privateTensor(dtype, FEW);
    assertThatThrownBy(() -> rank.communicator.allReduce(tensor, tensor, op))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("op=%s, dtype=%s", op.label(), dtype)
        .hasMessageContaining("op=all_reduce, rank=%d, sequence=", rank.number());
  }

  /// Elements of which sums and products are rounded, overflow and wrap, zeros of both signs, but
  /// no NaN: of two, which payload survives is the processor's choice.
  private static MemorySegment values(DType dtype, int rank, int elements) {
    SplittableRandom random = new SplittableRandom(31L * dtype.safetensorsName().hashCode() + rank);
    MemorySegment made =
        MemorySegment.ofArray(new long[elements]).asSlice(0, (long) elements * dtype.bytes());
    for (int i = 0; i < elements; i++) {
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
