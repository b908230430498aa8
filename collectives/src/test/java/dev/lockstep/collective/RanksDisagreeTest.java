package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Partners;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.deadline.MachineLoad;
import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.failure.CollectiveException;
import dev.lockstep.failure.CollectiveMismatchException;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.LongStream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// What ranks disagree about is a mismatch on every rank, with the two calls and where they are.
@Timeout(60)
final class RanksDisagreeTest {
  private static final ReduceOp SUM = new ReduceOp.Sum();

  /// Long before the deadline: a mismatch is noticed, not waited for.
  private static final Duration SOON = Duration.ofSeconds(10);

  private static final long ELEMENTS = 600;

  /// What the last rank does otherwise than the others, and how they say it.
  enum Field {
    COUNT("elements=%1$d", "elements=%2$d"),
    DTYPE("dtype=f32", "dtype=i32"),
    OP("op=sum", "op=max"),
    FACTOR("factor=0.5", "factor=0.25"),
    ROOT("root=0", "root=1"),
    COUNTS("elements=%1$d, counts=[%3$d, ", "elements=%1$d, counts=[%4$d, "),
    KIND("all_reduce(", "reduce_scatter("),
    PARTNERS("sendrecv(dtype=f32, elements=%1$d)", "sendrecv(dtype=f32, elements=%1$d, shift=2)"),
    PLACE("op=sum)", "op=sum, inPlace=true)"),
    MODE("op=sum)", "op=sum, mode=relaxed)"),
    LANES("op=sum)", "op=sum, lanes=2, heldLanes=[[1], [0]])"),
    ALGORITHM("op=sum) by exchange-all-reduce", "op=sum) by spread-all-reduce");

    private final String others;
    private final String last;

    Field(String others, String last) {
      this.others = others;
      this.last = last;
    }

    String words(boolean isLast, long elements) {
      return (isLast ? last : others)
          .formatted(elements, elements + 1, elements / 3, elements / 3 - 1);
    }

    CollectiveRequest request(boolean isLast, Topology topology) {
      return request(isLast, topology, ELEMENTS);
    }

    CollectiveRequest request(boolean isLast, Topology topology, long elements) {
      int ranks = topology.ranks();
      LaneSplit lanes = LaneSplit.onePerRank(ranks);
      DType dtype = this == DTYPE && isLast ? DType.I32 : DType.F32;
      return switch (this) {
        case ROOT -> CollectiveRequest.broadcast(dtype, elements, isLast ? 1 : 0, topology);
        case COUNTS ->
            CollectiveRequest.allGather(
                dtype, counts(ranks, elements / 3 - (isLast ? 1 : 0), elements), false, topology);
        case KIND ->
            isLast
                ? CollectiveRequest.reduceScatter(
                    dtype,
                    SUM,
                    Counts.each(ranks, elements),
                    false,
                    topology,
                    lanes,
                    Mode.SAME_BITS)
                : sum(dtype, SUM, elements * ranks, false, topology, Mode.SAME_BITS);
        case PARTNERS ->
            CollectiveRequest.sendReceive(
                dtype, elements, Partners.shift(ranks, isLast ? 2 : 1), false, topology);
        case LANES ->
            CollectiveRequest.allReduce(
                dtype,
                SUM,
                elements,
                false,
                topology,
                isLast ? new LaneSplit(2, List.of(lane(1), lane(0))) : lanes,
                Mode.SAME_BITS);
        case COUNT, DTYPE, OP, FACTOR, PLACE, MODE, ALGORITHM ->
            sum(
                dtype,
                op(isLast),
                this == COUNT && isLast ? elements + 1 : elements,
                this == PLACE && isLast,
                topology,
                this == MODE && isLast ? Mode.RELAXED : Mode.SAME_BITS);
      };
    }

    private static List<Subtree> lane(int lane) {
      return List.of(new Subtree(lane, 1));
    }

    /// Returns the algorithm that the caller chooses, or null.
    @Nullable Algorithm algorithm(boolean isLast) {
      String name = isLast ? "spread-all-reduce" : "exchange-all-reduce";
      return this == ALGORITHM ? Algorithms.named(name).orElseThrow() : null;
    }

    private ReduceOp op(boolean isLast) {
      return switch (this) {
        case OP -> isLast ? new ReduceOp.Max() : SUM;
        case FACTOR -> new ReduceOp.PreMulSum(isLast ? 0.25 : 0.5);
        case COUNT, DTYPE, ROOT, COUNTS, KIND, PARTNERS, PLACE, MODE, LANES, ALGORITHM -> SUM;
      };
    }

    private static CollectiveRequest sum(
        DType dtype, ReduceOp op, long elements, boolean inPlace, Topology topology, Mode mode) {
      LaneSplit lanes = LaneSplit.onePerRank(topology.ranks());
      return CollectiveRequest.allReduce(dtype, op, elements, inPlace, topology, lanes, mode);
    }

    private static Counts counts(int ranks, long first, long elements) {
      List<Long> counts = new ArrayList<>(List.of(first, elements - first - 100L * (ranks - 2)));
      while (counts.size() < ranks) {
        counts.add(100L);
      }
      return Counts.of(counts);
    }
  }

  private static boolean isLast(Ranks.Rank rank) {
    return rank.number() == rank.communicator.size() - 1;
  }

  private static PreparedCollective prepare(Ranks.Rank rank, CollectiveRequest request) {
    return new GuardedCollective(rank, request).collective;
  }

  /// Calls what a request asks for once, on tensors of its own.
  private static void call(Ranks.Rank rank, CollectiveRequest request) {
    Communicator all = rank.communicator;
    int me = all.rank();
    Tensor in = rank.privateTensor(request.dtype(), request.inputElements(me));
    Tensor out = rank.privateTensor(request.dtype(), request.outputElements(me));
    ReduceOp op = request.reduceOp() == null ? SUM : request.reduceOp();
    switch (request.kind()) {
      case ALL_REDUCE -> all.allReduce(in, out, op);
      case REDUCE_SCATTER -> all.reduceScatter(in, out, op);
      case BROADCAST -> all.broadcast(out, request.root());
      case ALL_GATHER ->
          all.allGatherV(
              in, out, LongStream.range(0, all.size()).mapToObj(request.counts()::get).toList());
      case SEND_RECEIVE -> all.sendReceive(in, out, request.partners().destination(0));
      case REDUCE, ALL_TO_ALL, GATHER, SCATTER, BARRIER -> throw new AssertionError(request.kind());
    }
  }

  private static void checkEveryRankLearnsBoth(
      List<? extends Ranks.Outcome<?>> outcomes, Field field) {
    checkEveryRankLearnsBoth(outcomes, field, ELEMENTS);
  }

  private static void checkEveryRankLearnsBoth(
      List<? extends Ranks.Outcome<?>> outcomes, Field field, long elements) {
    for (int rank = 0; rank < outcomes.size(); rank++) {
      boolean isLast = rank == outcomes.size() - 1;
      String mine = field.words(isLast, elements);
      String theirs = field.words(!isLast, elements);
      int last = outcomes.size() - 1;
      assertThat(outcomes.get(rank).failure())
          .as("rank %d", rank)
          .isInstanceOfSatisfying(
              CollectiveMismatchException.class,
              mismatch -> {
                assertThat(mismatch.mine()).contains(mine).contains("RanksDisagreeTest.java");
                assertThat(mismatch.theirs()).contains(theirs).contains("RanksDisagreeTest.java");
                if (isLast) {
                  assertThat(mismatch.peer()).isBetween(0, last - 1);
                } else {
                  assertThat(mismatch.peer()).isEqualTo(last);
                }
                assertThat(mismatch)
                    .hasMessageContaining(mine)
                    .hasMessageContaining(theirs)
                    .hasMessageContaining("call the same ones in the same order");
              });
    }
  }

  /// A rank that has not come to where others disagree hears of them, not of what it does itself.
  private static void awaitAll(CountDownLatch through) throws InterruptedException {
    through.countDown();
    assertThat(through.await(SOON.toSeconds(), TimeUnit.SECONDS)).isTrue();
  }

  private static void isOver(long start) {
    assertThat(Duration.ofNanos(System.nanoTime() - start)).as(MachineLoad::now).isLessThan(SOON);
  }

  @ParameterizedTest(name = "{0}, ranks={1}, {2}")
  @CsvSource({
    "COUNT, 3, messages-only",
    "FACTOR, 2, messages-only",
    "ROOT, 3, messages-only",
    "COUNTS, 3, shm",
    "PARTNERS, 3, unsteady-peers",
    "PLACE, 3, shm",
    "LANES, 2, shm",
    "ALGORITHM, 2, shm"
  })
  void whatRanksPrepareDifferently(Field field, int ranks, String transport) {
    checkWhatRanksPrepareDifferently(field, ranks, transport);
  }

  @ParameterizedTest(name = "{0}, ranks={1}, {2}")
  @CsvSource({
    "COUNT, 2, shm",
    "DTYPE, 3, shm",
    "OP, 3, shm",
    "ROOT, 2, shm",
    "COUNTS, 2, shm",
    "KIND, 2, messages-only",
    "KIND, 3, shm",
    "MODE, 2, shm"
  })
  @Tag("long")
  void whatRanksPrepareDifferentlyInMoreWays(Field field, int ranks, String transport) {
    checkWhatRanksPrepareDifferently(field, ranks, transport);
  }

  private static void checkWhatRanksPrepareDifferently(Field field, int ranks, String transport) {
    long start = System.nanoTime();
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            ranks,
            SameBitsTest.over(transport),
            rank -> {
              Topology topology = rank.communicator.topology();
              CollectiveRequest request = field.request(isLast(rank), topology);
              new GuardedCollective(rank, request, field.algorithm(isLast(rank))).collective.run();
              return true;
            });
    checkEveryRankLearnsBoth(outcomes, field);
    isOver(start);
  }

  @ParameterizedTest(name = "{0}, ranks={1}, {2}, elements={3}")
  @CsvSource({
    "COUNT, 3, shm, 600",
    "COUNT, 3, unsteady-peers, 9000",
    "DTYPE, 3, messages-only, 600",
    "DTYPE, 3, shm, 9000",
    "OP, 2, shm, 9000",
    "COUNTS, 3, shm, 600",
    "COUNTS, 2, shm, 9000",
    "KIND, 2, shm, 600",
    "KIND, 3, unsteady-peers, 9000",
    "PLACE, 3, messages-only, 600",
    "PLACE, 2, shm, 9000",
    "MODE, 3, shm, 600",
    "ALGORITHM, 2, shm, 600"
  })
  void whatRanksRunDifferently(Field field, int ranks, String transport, long elements) {
    checkWhatRanksRunDifferently(field, ranks, transport, elements);
  }

  @ParameterizedTest(name = "{0}, ranks={1}, {2}, elements={3}")
  @CsvSource({
    "COUNT, 2, messages-only, 600",
    "COUNT, 2, in-process, 9000",
    "DTYPE, 2, shm, 600",
    "OP, 3, messages-only, 9000",
    "FACTOR, 3, shm, 9000",
    "COUNT, 3, shm, 9000",
    "KIND, 3, shm, 9000",
    "MODE, 2, unsteady-peers, 600",
    "COUNTS, 2, messages-only, 600",
    "COUNTS, 3, shm, 9000",
    "KIND, 3, messages-only, 600",
    "KIND, 2, shm, 9000",
    "PLACE, 2, shm, 600"
  })
  @Tag("long")
  void whatRanksRunDifferentlyInMoreWays(Field field, int ranks, String transport, long elements) {
    checkWhatRanksRunDifferently(field, ranks, transport, elements);
  }

  /// All have run both before and know where each other's tensors lie. Few elements travel beside
  /// their signals; many are read, and written, where they lie in peers' memory.
  private static void checkWhatRanksRunDifferently(
      Field field, int ranks, String transport, long elements) {
    long start = System.nanoTime();
    CountDownLatch through = new CountDownLatch(ranks);
    CountDownLatch failed = new CountDownLatch(ranks);
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            ranks,
            SameBitsTest.over(transport),
            rank -> {
              Topology topology = rank.communicator.topology();
              GuardedCollective others =
                  new GuardedCollective(
                      rank, field.request(false, topology, elements), field.algorithm(false));
              GuardedCollective lasts =
                  new GuardedCollective(
                      rank, field.request(true, topology, elements), field.algorithm(true));
              others.collective.run();
              lasts.collective.run();
              others.remember();
              lasts.remember();
              awaitAll(through);
              try {
                (isLast(rank) ? lasts : others).collective.run();
              } finally {
                awaitAll(failed);
                others.requireUntouched(!isLast(rank));
                lasts.requireUntouched(isLast(rank));
              }
              return true;
            });
    checkEveryRankLearnsBoth(outcomes, field, elements);
    isOver(start);
  }

  @ParameterizedTest(name = "{0}, ranks={1}, {2}")
  @CsvSource({
    "COUNT, 2, shm",
    "DTYPE, 3, shm",
    "ROOT, 3, messages-only",
    "COUNTS, 2, shm",
    "KIND, 3, messages-only",
    "PARTNERS, 3, messages-only"
  })
  void whatRanksCallDifferentlyAtFirst(Field field, int ranks, String transport) {
    long start = System.nanoTime();
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            ranks,
            SameBitsTest.over(transport),
            rank -> {
              call(rank, field.request(isLast(rank), rank.communicator.topology()));
              return true;
            });
    checkEveryRankLearnsBoth(outcomes, field);
    isOver(start);
  }

  /// The others have called it before and are inside; the last one has yet to prepare its own.
  @ParameterizedTest(name = "{0}, ranks={1}, {2}")
  @CsvSource({
    "COUNT, 2, shm",
    "COUNT, 3, messages-only",
    "COUNTS, 3, unsteady-peers",
    "KIND, 3, shm"
  })
  void whatRanksCallDifferentlyLater(Field field, int ranks, String transport) {
    checkWhatRanksCallDifferentlyLater(field, ranks, transport);
  }

  @ParameterizedTest(name = "{0}, ranks={1}, {2}")
  @CsvSource({"DTYPE, 3, shm", "OP, 2, messages-only", "FACTOR, 2, shm"})
  @Tag("long")
  void whatRanksCallDifferentlyLaterInMoreWays(Field field, int ranks, String transport) {
    checkWhatRanksCallDifferentlyLater(field, ranks, transport);
  }

  private static void checkWhatRanksCallDifferentlyLater(Field field, int ranks, String transport) {
    long start = System.nanoTime();
    CountDownLatch through = new CountDownLatch(ranks);
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            ranks,
            SameBitsTest.over(transport),
            rank -> {
              Topology topology = rank.communicator.topology();
              call(rank, field.request(false, topology));
              awaitAll(through);
              call(rank, field.request(isLast(rank), topology));
              return true;
            });
    checkEveryRankLearnsBoth(outcomes, field);
    isOver(start);
  }

  /// A root, and who got something from one, may be through before anybody notices. Then what the
  /// ranks do next differs; where that has nothing in common either, there is still the deadline.
  @ParameterizedTest(name = "ranks={0}, {1}")
  @CsvSource({"2, shm", "3, shm", "3, unsteady-peers", "3, messages-only"})
  @Tag("long")
  void twoRootsEndInTypedFailuresEverywhere(int ranks, String transport) {
    long start = System.nanoTime();
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            ranks,
            SameBitsTest.over(transport).withTimeout(Duration.ofSeconds(2)),
            rank -> {
              Topology topology = rank.communicator.topology();
              rank.communicator.barrier();
              call(rank, Field.ROOT.request(false, topology));
              call(rank, Field.ROOT.request(true, topology));
              call(rank, Field.ROOT.request(isLast(rank), topology));
              rank.communicator.barrier();
              return true;
            });
    for (Ranks.Outcome<Boolean> outcome : outcomes) {
      assertThat(outcome.failure()).isInstanceOf(CollectiveException.class);
    }
    isOver(start);
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"shm", "unsteady-peers", "messages-only"})
  void afterAnAbortEveryCallOnEveryRankIsATypedFailure(String transport) {
    CountDownLatch known = new CountDownLatch(3);
    CountDownLatch over = new CountDownLatch(3);
    Ranks.run(
        3,
        SameBitsTest.over(transport),
        rank -> {
          Communicator all = rank.communicator;
          Topology topology = all.topology();
          PreparedCollective sum = prepare(rank, Field.COUNT.request(false, topology));
          PreparedCollective other = prepare(rank, Field.COUNT.request(true, topology));
          sum.run();
          known.countDown();
          known.await();
          if (rank.number() == 1) {
            all.abort(new IllegalStateException("enough"));
          }
          // What the others had sent before may be all that a run needs.
          Throwable told = null;
          while (told == null) {
            told = catchThrowable(sum::run);
          }
          assertThat(told).isInstanceOf(CollectiveException.class).hasMessageContaining("enough");
          Tensor tensor = rank.privateTensor(DType.F32, 6);
          List<ThrowingCallable> uses =
              List.of(
                  sum::run,
                  sum::start,
                  () -> all.startTogether(List.of(sum, other)),
                  all::barrier,
                  () -> all.allReduce(tensor, tensor, SUM),
                  () -> all.broadcastAsync(tensor, 0),
                  () -> all.sendReceive(null, null, List.of()),
                  () -> prepare(rank, Field.OP.request(false, topology)),
                  () -> all.split(0, 0));
          for (ThrowingCallable use : uses) {
            assertThatThrownBy(use)
                .isInstanceOf(CollectiveAbortedException.class)
                .hasMessageContaining("cannot be used after a failure")
                .hasMessageContaining("enough");
          }
          over.countDown();
          over.await(); // who closes frees what threads of this JVM may be in the middle of
          return true;
        });
  }
}
