package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.LongToIntFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A rank that calls wrongly while the others wait in the collective gets a sentence, and may call
/// again: then all have the right result, and no byte beside it has changed.
@Timeout(60)
final class OneRankErrsTest {
  private static final int RANKS = 3;
  private static final int PART = 40;
  private static final int GUARD = 16;
  private static final int UNTOUCHED = 0x5A5A5A5A;

  /// What each rank gives to each rank of an all-to-all.
  private static final List<Long> PARTS = Collections.nCopies(RANKS * RANKS, (long) PART);

  private static final ReduceOp SUM = new ReduceOp.Sum();
  private static final ReduceOp MEAN = new ReduceOp.Avg();

  /// One rank's tensors, each between guards.
  private static final class Mine {
    final Ranks.Rank rank;
    final Communicator all;
    final int me;
    final Tensor whole; // a part for each rank
    final Tensor result; // likewise
    final Tensor part;
    final Tensor got;
    final Tensor floats;
    final Tensor closed;

    Mine(Ranks.Rank rank) {
      this.rank = rank;
      this.all = rank.communicator;
      this.me = all.rank();
      this.whole = guarded(RANKS * PART);
      this.result = guarded(RANKS * PART);
      this.part = guarded(PART);
      this.got = guarded(PART);
      this.floats = rank.privateTensor(DType.F32, RANKS * PART);
      this.closed = rank.privateTensor(DType.I32, RANKS * PART);
      closed.buffer().close();
      fill(whole);
      fill(part);
    }

    private Tensor guarded(int elements) {
      Tensor all = rank.sharedTensor(DType.I32, elements + 2L * GUARD);
      for (int i = 0; i < elements + 2 * GUARD; i++) {
        all.segment().setAtIndex(ValueLayout.JAVA_INT, i, UNTOUCHED);
      }
      return slice(all, GUARD, elements);
    }

    private void fill(Tensor tensor) {
      for (int i = 0; i < tensor.shape().elements(); i++) {
        tensor.segment().setAtIndex(ValueLayout.JAVA_INT, i, value(me, i));
      }
    }

    void checkGuards() {
      for (Tensor tensor : List.of(whole, result, part, got)) {
        MemorySegment all = tensor.buffer().segment();
        int elements = (int) tensor.shape().elements();
        for (int i = 0; i < GUARD; i++) {
          int after = GUARD + elements + i;
          assertThat(all.getAtIndex(ValueLayout.JAVA_INT, i)).isEqualTo(UNTOUCHED);
          assertThat(all.getAtIndex(ValueLayout.JAVA_INT, after)).isEqualTo(UNTOUCHED);
        }
      }
      assertThat(of(whole)).as("what a rank gives").isEqualTo(values(me, RANKS * PART));
      assertThat(of(part)).as("what a rank gives").isEqualTo(values(me, PART));
    }

    PreparedCollective prepared(CollectiveRequest request, List<Tensor> in, Tensor out) {
      return all.prepare(request, in, out);
    }
  }

  private static int value(int rank, long index) {
    return Math.toIntExact(1000L * (rank + 1) + index);
  }

  private static int[] values(int rank, int elements) {
    return IntStream.range(0, elements).map(i -> value(rank, i)).toArray();
  }

  private static int sumAt(long index) {
    return IntStream.range(0, RANKS).map(rank -> value(rank, index)).sum();
  }

  private static int[] of(Tensor tensor) {
    return tensor.segment().toArray(ValueLayout.JAVA_INT);
  }

  private static Tensor slice(Tensor tensor, long from, long elements) {
    return new Tensor(tensor.buffer(), tensor.offset() + from * 4, DType.I32, Shape.of(elements));
  }

  /// A collective, rightly called, and what may be wrong in calling it.
  ///
  /// @param right starts it
  /// @param check what every rank has afterwards
  private record Collective(
      String op, Function<Mine, Work> right, Consumer<Mine> check, List<Mistake> mistakes) {}

  /// A wrong call.
  ///
  /// @param type of what it throws
  /// @param detail what that says
  private record Mistake(
      Class<? extends RuntimeException> type, String detail, Consumer<Mine> wrong) {}

  private static Mistake argument(String detail, Consumer<Mine> wrong) {
    return new Mistake(IllegalArgumentException.class, detail, wrong);
  }

  private static Mistake closed(Consumer<Mine> wrong) {
    return new Mistake(IllegalStateException.class, "closed", wrong);
  }

  private static List<Collective> collectives() {
    return List.of(
        new Collective(
            "all_reduce",
            my -> my.all.allReduceAsync(my.whole, my.result, SUM),
            my -> has(my.result, OneRankErrsTest::sumAt),
            List.of(
                closed(my -> my.all.allReduce(my.closed, my.result, SUM)),
                closed(my -> my.all.allReduceAsync(my.whole, my.closed, SUM)),
                argument(
                    "not defined for the element type",
                    my -> my.all.allReduce(my.whole, my.result, MEAN)),
                argument(
                    "not defined for the element type",
                    my -> my.all.allReduce(my.floats, my.floats, new ReduceOp.BitXor())),
                argument("dtype=F32", my -> my.all.allReduce(my.whole, my.floats, SUM)),
                argument("elements=40", my -> my.all.allReduceAsync(my.whole, my.part, SUM)),
                argument(
                    "overlap",
                    my -> my.all.allReduce(slice(my.result, 0, 9), slice(my.result, 1, 9), SUM)))),
        new Collective(
            "broadcast",
            my -> my.all.broadcastAsync(my.me == 1 ? my.whole : my.result, 1),
            my -> {
              if (my.me != 1) {
                has(my.result, i -> value(1, i));
              }
            },
            List.of(
                argument("root=3", my -> my.all.broadcast(my.result, 3)),
                argument("root=-1", my -> my.all.broadcastAsync(my.result, -1)),
                closed(my -> my.all.broadcast(my.closed, 1)))),
        new Collective(
            "reduce",
            my -> my.all.reduceAsync(my.whole, my.me == 2 ? my.result : null, SUM, 2),
            my -> {
              if (my.me == 2) {
                has(my.result, OneRankErrsTest::sumAt);
              }
            },
            List.of(
                argument("root=3", my -> my.all.reduce(my.whole, my.result, SUM, 3)),
                argument(
                    "output", my -> my.all.reduce(my.whole, my.me == 2 ? null : my.result, SUM, 2)),
                closed(my -> my.all.reduce(my.closed, my.me == 2 ? my.result : null, SUM, 2)),
                argument(
                    "overlap",
                    my ->
                        my.all.reduce(
                            slice(my.result, 0, 9), slice(my.result, 1, 9), SUM, my.me)))),
        new Collective(
            "reduce_scatter",
            my -> my.all.reduceScatterAsync(my.whole, my.got, SUM),
            my -> has(my.got, i -> sumAt((long) my.me * PART + i)),
            List.of(
                argument(
                    "overlap",
                    my ->
                        my.all.reduceScatter(
                            my.whole, slice(my.whole, besideItsPlace(my), PART), SUM)),
                argument(
                    "counts=2",
                    my -> my.all.reduceScatterV(my.whole, my.got, SUM, List.of(80L, 40L))),
                closed(my -> my.all.reduceScatter(my.closed, my.got, SUM)))),
        new Collective(
            "all_gather",
            my -> my.all.allGatherAsync(my.part, my.result),
            my -> has(my.result, i -> value((int) i / PART, i % PART)),
            List.of(
                argument(
                    "overlap",
                    my -> my.all.allGather(slice(my.result, besideItsPlace(my), PART), my.result)),
                argument(
                    "count=-1", my -> my.all.allGatherV(my.part, my.result, List.of(1L, -1L, 2L))),
                closed(my -> my.all.allGatherAsync(my.part, my.closed)))),
        new Collective(
            "gather",
            my -> my.all.gatherAsync(my.part, my.me == 0 ? my.result : null, 0),
            my -> {
              if (my.me == 0) {
                has(my.result, i -> value((int) i / PART, i % PART));
              }
            },
            List.of(
                argument("root=4", my -> my.all.gather(my.part, my.result, 4)),
                argument("output", my -> my.all.gather(my.part, my.me == 0 ? null : my.result, 0)),
                argument(
                    "overlap",
                    my ->
                        my.all.gather(
                            slice(my.result, besideItsPlace(my), PART), my.result, my.me)),
                closed(my -> my.all.gather(my.closed, my.me == 0 ? my.result : null, 0)),
                closed(my -> my.all.gatherAsync(my.part, my.closed, my.me)))),
        new Collective(
            "scatter",
            my -> my.all.scatterAsync(my.me == 0 ? my.whole : null, my.got, 0),
            my -> has(my.got, i -> value(0, (long) my.me * PART + i)),
            List.of(
                argument("root=-1", my -> my.all.scatter(my.whole, my.got, -1)),
                argument("inputs", my -> my.all.scatter(my.me == 0 ? null : my.whole, my.got, 0)),
                argument(
                    "overlap",
                    my ->
                        my.all.scatter(my.whole, slice(my.whole, besideItsPlace(my), PART), my.me)),
                closed(my -> my.all.scatter(my.closed, my.got, my.me)),
                closed(my -> my.all.scatterAsync(my.whole, slice(my.closed, 0, PART), my.me)))),
        new Collective(
            "alltoall",
            my -> my.all.allToAllAsync(my.whole, my.result),
            my -> has(my.result, i -> value((int) i / PART, (long) my.me * PART + i % PART)),
            List.of(
                closed(my -> my.all.allToAll(my.closed, my.result)),
                argument("elements=40", my -> my.all.allToAll(my.whole, my.part)),
                argument(
                    "overlap",
                    my -> my.all.allToAll(slice(my.result, 0, 9), slice(my.result, 1, 9))))),
        new Collective(
            "alltoall",
            my -> my.all.allToAllVAsync(my.whole, my.result, PARTS),
            my -> has(my.result, i -> value((int) i / PART, (long) my.me * PART + i % PART)),
            List.of(
                argument(
                    "counts=3", my -> my.all.allToAllV(my.whole, my.result, List.of(9L, 9L, 9L))),
                argument(
                    "count=-1",
                    my -> my.all.allToAllVAsync(my.whole, my.result, with(PARTS, my.me, -1))),
                argument(
                    "elements=120",
                    my -> my.all.allToAllV(my.whole, my.result, with(PARTS, 4 * my.me, 41))),
                argument("dtype=F32", my -> my.all.allToAllV(my.whole, my.floats, PARTS)),
                closed(my -> my.all.allToAllV(my.whole, my.closed, PARTS)))),
        new Collective(
            "sendrecv",
            my -> my.all.sendReceiveAsync(my.part, my.got),
            my -> has(my.got, i -> value((my.me + RANKS - 1) % RANKS, i)),
            List.of(
                argument(
                    "overlap",
                    my -> my.all.sendReceive(slice(my.got, 0, 30), slice(my.got, 10, 30))),
                closed(my -> my.all.sendReceive(my.closed, my.result)),
                closed(my -> my.all.sendReceiveAsync(my.whole, my.closed, 2)),
                new Mistake(
                    NullPointerException.class,
                    "destination is null: sender=1",
                    my -> my.all.sendReceive(my.part, my.got, Arrays.asList(1, null, 0))))));
  }

  /// Returns a list with another element in one place.
  private static List<Long> with(List<Long> list, int place, long element) {
    List<Long> changed = new ArrayList<>(list);
    changed.set(place, element);
    return changed;
  }

  /// Where a part of the whole starts that is not the rank's own, but overlaps the whole.
  private static int besideItsPlace(Mine my) {
    return (my.me * PART + 1) % (2 * PART);
  }

  private static void has(Tensor tensor, LongToIntFunction expected) {
    assertThat(of(tensor))
        .isEqualTo(
            IntStream.range(0, (int) tensor.shape().elements())
                .map(expected::applyAsInt)
                .toArray());
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"in-process", "shm", "unsteady-peers", "messages-only"})
  void theOthersWaitUntilItCallsRightly(String transport) {
    List<Collective> collectives = collectives();
    List<CountDownLatch> waiting = new ArrayList<>();
    for (Collective collective : collectives) {
      collective.mistakes().forEach(_ -> addLatches(waiting));
    }
    Ranks.run(
        RANKS,
        SameBitsTest.over(transport),
        rank -> {
          Mine my = new Mine(rank);
          AtomicInteger calls = new AtomicInteger();
          for (Collective collective : collectives) {
            for (Mistake mistake : collective.mistakes()) {
              for (int errs = 0; errs < RANKS; errs++) {
                call(my, collective, mistake, errs, waiting.get(calls.get()), calls);
              }
            }
          }
          return true;
        });
  }

  private static void addLatches(List<CountDownLatch> waiting) {
    for (int errs = 0; errs < RANKS; errs++) {
      waiting.add(new CountDownLatch(RANKS - 1));
    }
  }

  /// One round. The first of a collective is prepared by all ranks together: there the others wait
  /// for the one that errs before anything is started.
  private static void call(
      Mine my,
      Collective collective,
      Mistake mistake,
      int errs,
      CountDownLatch waiting,
      AtomicInteger calls)
      throws InterruptedException {
    boolean known = errs > 0 || !mistake.equals(collective.mistakes().getFirst());
    if (my.me == errs) {
      if (known) {
        waiting.await();
      }
      assertThatThrownBy(() -> mistake.wrong().accept(my))
          .as("%s on rank %d: %s", collective.op(), errs, mistake.detail())
          .isInstanceOf(mistake.type())
          .hasMessageContaining(mistake.detail())
          .hasMessageContaining("op=" + collective.op())
          .hasMessageContaining("rank=%d, sequence=%d", errs, calls.get());
      collective.right().apply(my).await();
    } else {
      Work started = collective.right().apply(my);
      waiting.countDown();
      started.await();
    }
    calls.incrementAndGet();
    collective.check().accept(my);
    my.checkGuards();
    for (Tensor gets : List.of(my.result, my.got)) {
      for (int i = 0; i < gets.shape().elements(); i++) {
        gets.segment().setAtIndex(ValueLayout.JAVA_INT, i, UNTOUCHED);
      }
    }
  }

  private static CollectiveRequest sumOf(Topology topology, boolean inPlace) {
    return CollectiveRequest.allReduce(
        DType.I32,
        SUM,
        RANKS * PART,
        inPlace,
        topology,
        LaneSplit.onePerRank(topology.ranks()),
        Mode.SAME_BITS);
  }

  private static List<Mistake> mistakesOfPreparing() {
    return List.of(
        closed(my -> my.prepared(request(my), List.of(my.closed), my.result)),
        closed(my -> my.prepared(request(my), List.of(my.whole), my.closed)),
        argument("dtype=F32", my -> my.prepared(request(my), List.of(my.floats), my.result)),
        argument("inputs=2", my -> my.prepared(request(my), List.of(my.whole, my.part), my.result)),
        argument("elements=40", my -> my.prepared(request(my), List.of(my.whole), my.part)),
        argument("overlap", my -> my.prepared(request(my), List.of(my.whole), my.whole)),
        argument(
            "input does not lie in the output",
            my -> my.prepared(sumOf(my.all.topology(), true), List.of(my.whole), my.result)),
        argument(
            "made for other ranks",
            my ->
                my.prepared(
                    sumOf(Topology.oneNode(2, false), false), List.of(my.whole), my.result)));
  }

  private static CollectiveRequest request(Mine my) {
    return sumOf(my.all.topology(), false);
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"shm", "unsteady-peers", "messages-only"})
  void theOthersWaitUntilItPreparesRightly(String transport) {
    Ranks.run(
        RANKS,
        SameBitsTest.over(transport),
        rank -> {
          Mine my = new Mine(rank);
          int errs = 0;
          for (Mistake mistake : mistakesOfPreparing()) {
            if (my.me == errs % RANKS) {
              assertThatThrownBy(() -> mistake.wrong().accept(my))
                  .as(mistake.detail())
                  .isInstanceOf(mistake.type())
                  .hasMessageContaining(mistake.detail())
                  .hasMessageContaining("op=all_reduce, rank=%d, sequence=%d", my.me, 2 * errs);
            }
            try (PreparedCollective sum = my.prepared(request(my), List.of(my.whole), my.result)) {
              sum.run();
              has(my.result, OneRankErrsTest::sumAt);
              sum.start().await();
              my.checkGuards();
            }
            errs++;
          }
          return true;
        });
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"shm", "unsteady-peers", "messages-only"})
  void theOthersWaitUntilItStartsAGroupRightly(String transport) {
    CountDownLatch waiting = new CountDownLatch(RANKS - 1);
    Ranks.run(
        RANKS,
        SameBitsTest.over(transport),
        rank -> {
          Mine my = new Mine(rank);
          Communicator other = my.all.split(0, 0).orElseThrow();
          PreparedCollective sum = my.prepared(request(my), List.of(my.whole), my.result);
          PreparedCollective parts =
              my.prepared(
                  CollectiveRequest.allGather(
                      DType.I32, Counts.each(RANKS, PART), false, my.all.topology()),
                  List.of(my.part),
                  my.guarded(RANKS * PART));
          PreparedCollective foreign =
              other.prepare(sumOf(other.topology(), false), List.of(my.whole), my.result);
          if (my.me == 1) {
            waiting.await();
            assertThatThrownBy(() -> my.all.startTogether(List.of(sum, foreign)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("op=all_reduce, rank=1, sequence=0");
            assertThatThrownBy(() -> my.all.startTogether(List.of(sum, sum)))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("op=all_reduce, rank=1, sequence=0");
          }
          Work both = my.all.startTogether(List.of(sum, parts));
          waiting.countDown();
          both.await();
          has(my.result, OneRankErrsTest::sumAt);
          my.checkGuards();
          other.close();
          return true;
        });
  }
}
