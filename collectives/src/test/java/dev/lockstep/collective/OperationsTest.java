package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Every operation of a communicator does what it says, called in every way.
@Timeout(60)
final class OperationsTest {
  private static final ReduceOp SUM = new ReduceOp.Sum();

  static CommunicatorOptions over(String transport) {
    return SameBitsTest.over(transport);
  }

  /// Element `index` of what `rank` brings: unlike every other.
  static int value(int rank, long index) {
    return Math.toIntExact(1000L * (rank + 1) + index % 997);
  }

  static Tensor filled(Ranks.Rank rank, long elements) {
    Tensor tensor = rank.privateTensor(DType.I32, elements);
    for (int i = 0; i < elements; i++) {
      tensor.segment().setAtIndex(ValueLayout.JAVA_INT, i, value(rank.communicator.rank(), i));
    }
    return tensor;
  }

  static Tensor empty(Ranks.Rank rank, long elements) {
    return rank.privateTensor(DType.I32, elements);
  }

  static int[] of(Tensor tensor) {
    return tensor.segment().toArray(ValueLayout.JAVA_INT);
  }

  private static Tensor slice(Tensor tensor, long from, long elements) {
    return new Tensor(tensor.buffer(), tensor.offset() + from * 4, DType.I32, Shape.of(elements));
  }

  private static void call(boolean asynchronous, Runnable blocking, Supplied<Work> started) {
    if (asynchronous) {
      started.get().await();
    } else {
      blocking.run();
    }
  }

  private interface Supplied<T> {
    T get();
  }

  @ParameterizedTest(name = "{0}, ranks={1}, part={2}, async={3}")
  @CsvSource({
    "in-process, 3, 5, false",
    "shm, 2, 1, false",
    "shm, 3, 5, true",
    "shm, 4, 700, false",
    "unsteady-peers, 3, 5000, true",
    "messages-only, 3, 5, true",
    "messages-only, 4, 700, false",
    "shm, 1, 9, false"
  })
  void everyOperationGivesEveryRankItsPart(
      String transport, int ranks, int part, boolean asynchronous) {
    Ranks.run(
        ranks,
        over(transport),
        rank -> {
          Communicator all = rank.communicator;
          int me = all.rank();
          long total = (long) part * ranks;
          Tensor mine = filled(rank, part);
          Tensor whole = filled(rank, total);

          Tensor out = empty(rank, total);
          call(asynchronous, () -> all.allGather(mine, out), () -> all.allGatherAsync(mine, out));
          assertThat(of(out))
              .isEqualTo(
                  IntStream.range(0, (int) total).map(i -> value(i / part, i % part)).toArray());

          Tensor mineReduced = empty(rank, part);
          call(
              asynchronous,
              () -> all.reduceScatter(whole, mineReduced, SUM),
              () -> all.reduceScatterAsync(whole, mineReduced, SUM));
          assertThat(of(mineReduced))
              .isEqualTo(
                  IntStream.range(0, part)
                      .map(i -> sumOver(ranks, (long) me * part + i))
                      .toArray());

          int root = ranks - 1;
          Tensor reduced = me == root ? empty(rank, total) : null;
          call(
              asynchronous,
              () -> all.reduce(whole, reduced, SUM, root),
              () -> all.reduceAsync(whole, reduced, SUM, root));
          if (reduced != null) {
            assertThat(of(reduced))
                .isEqualTo(IntStream.range(0, (int) total).map(i -> sumOver(ranks, i)).toArray());
          }

          Tensor exchanged = empty(rank, total);
          call(
              asynchronous,
              () -> all.allToAll(whole, exchanged),
              () -> all.allToAllAsync(whole, exchanged));
          assertThat(of(exchanged))
              .isEqualTo(
                  IntStream.range(0, (int) total)
                      .map(i -> value(i / part, (long) me * part + i % part))
                      .toArray());

          Tensor gathered = me == root ? empty(rank, total) : null;
          call(
              asynchronous,
              () -> all.gather(mine, gathered, root),
              () -> all.gatherAsync(mine, gathered, root));
          if (gathered != null) {
            assertThat(of(gathered)).isEqualTo(of(out));
          }

          Tensor scattered = empty(rank, part);
          Tensor given = me == root ? whole : null;
          call(
              asynchronous,
              () -> all.scatter(given, scattered, root),
              () -> all.scatterAsync(given, scattered, root));
          assertThat(of(scattered))
              .isEqualTo(
                  IntStream.range(0, part).map(i -> value(root, (long) me * part + i)).toArray());

          Tensor got = empty(rank, part);
          call(
              asynchronous,
              () -> all.sendReceive(mine, got),
              () -> all.sendReceiveAsync(mine, got));
          assertThat(of(got))
              .isEqualTo(
                  IntStream.range(0, part).map(i -> value((me + ranks - 1) % ranks, i)).toArray());
          return true;
        });
  }

  private static int sumOver(int ranks, long index) {
    return IntStream.range(0, ranks).map(rank -> value(rank, index)).sum();
  }

  @ParameterizedTest(name = "{0}, async={1}")
  @CsvSource({"in-process, true", "shm, false", "messages-only, true"})
  void partsMayDifferAndBeEmpty(String transport, boolean asynchronous) {
    List<Long> counts = List.of(3L, 0L, 600L);
    List<Long> matrix = List.of(1L, 0L, 2L, 3L, 4L, 0L, 0L, 500L, 6L);
    Ranks.run(
        3,
        over(transport),
        rank -> {
          Communicator all = rank.communicator;
          int me = all.rank();
          Tensor out = empty(rank, 603);
          Tensor mine = filled(rank, counts.get(me));
          call(
              asynchronous,
              () -> all.allGatherV(mine, out, counts),
              () -> all.allGatherVAsync(mine, out, counts));
          assertThat(of(out))
              .isEqualTo(
                  IntStream.range(0, 603)
                      .map(i -> i < 3 ? value(0, i) : value(2, i - 3))
                      .toArray());

          Tensor part = empty(rank, counts.get(me));
          Tensor whole = filled(rank, 603);
          call(
              asynchronous,
              () -> all.reduceScatterV(whole, part, SUM, counts),
              () -> all.reduceScatterVAsync(whole, part, SUM, counts));
          int start = me == 2 ? 3 : 0;
          assertThat(of(part))
              .isEqualTo(
                  IntStream.range(0, counts.get(me).intValue())
                      .map(i -> sumOver(3, start + i))
                      .toArray());

          Tensor in = filled(rank, sent(matrix, me));
          Tensor got =
              empty(rank, IntStream.range(0, 3).mapToLong(r -> matrix.get(r * 3 + me)).sum());
          call(
              asynchronous,
              () -> all.allToAllV(in, got, matrix),
              () -> all.allToAllVAsync(in, got, matrix));
          List<Integer> expected = new ArrayList<>();
          for (int from = 0; from < 3; from++) {
            long at = IntStream.range(from * 3, from * 3 + me).mapToLong(matrix::get).sum();
            for (long i = 0; i < matrix.get(from * 3 + me); i++) {
              expected.add(value(from, at + i));
            }
          }
          assertThat(of(got)).isEqualTo(expected.stream().mapToInt(Integer::intValue).toArray());
          return true;
        });
  }

  private static long sent(List<Long> matrix, int from) {
    return IntStream.range(from * 3, from * 3 + 3).mapToLong(matrix::get).sum();
  }

  @ParameterizedTest(name = "{0}, part={1}")
  @CsvSource({"shm, 4", "shm, 5000", "unsteady-peers, 5000", "messages-only, 4"})
  void inPlaceTheSmallerTensorIsAPartOfTheLarger(String transport, int part) {
    Ranks.run(
        3,
        over(transport),
        rank -> {
          Communicator all = rank.communicator;
          int me = all.rank();
          Tensor whole = filled(rank, 3L * part);
          all.reduceScatter(whole, slice(whole, (long) me * part, part), SUM);
          assertThat(of(slice(whole, (long) me * part, part)))
              .isEqualTo(
                  IntStream.range(0, part).map(i -> sumOver(3, (long) me * part + i)).toArray());
          all.allGather(slice(whole, (long) me * part, part), whole);
          assertThat(of(whole))
              .isEqualTo(IntStream.range(0, 3 * part).map(i -> sumOver(3, i)).toArray());
          Tensor exchanged = filled(rank, 3L * part);
          all.allToAll(exchanged, exchanged);
          assertThat(of(exchanged))
              .isEqualTo(
                  IntStream.range(0, 3 * part)
                      .map(i -> value(i / part, (long) me * part + i % part))
                      .toArray());
          return true;
        });
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"in-process", "shm", "messages-only"})
  void partsOfASplitRunAtTheSameTime(String transport) {
    CountDownLatch rowsAreDone = new CountDownLatch(4);
    Ranks.run(
        4,
        over(transport),
        rank -> {
          Communicator all = rank.communicator;
          try (Communicator row = all.split(all.rank() / 2, -all.rank()).orElseThrow()) {
            assertThat(row.size()).isEqualTo(2);
            assertThat(row.rank()).isEqualTo(1 - all.rank() % 2);
            assertThat(row.jobRanks()).isEqualTo(all.rank() < 2 ? List.of(1, 0) : List.of(3, 2));
            Tensor everybody = filled(rank, 3000);
            // The first call of its kind waits for all ranks, to prepare it.
            all.allReduce(filled(rank, 3000), empty(rank, 3000), SUM);
            Work pending = null;
            if (all.rank() > 0) {
              pending = all.allReduceAsync(everybody, everybody, SUM);
            }
            // Rank 0 has not started the sum of all: that of the rows goes on.
            for (int round = 0; round < 20; round++) {
              Tensor two = filled(rank, 10);
              Tensor both = empty(rank, 20);
              two.segment().setAtIndex(ValueLayout.JAVA_INT, 0, all.rank());
              row.allGather(two, both);
              assertThat(both.segment().getAtIndex(ValueLayout.JAVA_INT, 0))
                  .isEqualTo(all.rank() / 2 * 2 + 1);
            }
            rowsAreDone.countDown();
            rowsAreDone.await();
            if (pending == null) {
              all.allReduce(everybody, everybody, SUM);
            } else {
              pending.await();
            }
            assertThat(of(everybody))
                .isEqualTo(IntStream.range(0, 3000).map(i -> sumOver(4, i)).toArray());
          }
          return true;
        });
  }

  @Test
  void aRankMayGoToNoPart() {
    Ranks.run(
        3,
        over("shm"),
        rank -> {
          int me = rank.communicator.rank();
          var part = rank.communicator.split(me == 1 ? Communicator.NO_COLOR : 7, 0);
          assertThat(part.isPresent()).isEqualTo(me != 1);
          part.ifPresent(
              communicator -> {
                Tensor tensor = filled(rank, 2);
                communicator.broadcast(tensor, 1);
                communicator.close();
              });
          assertThatThrownBy(() -> rank.communicator.split(-2, 0))
              .isInstanceOf(IllegalArgumentException.class)
              .hasMessageContaining("color=-2");
          return true;
        });
  }

  @Test
  void splitsOfSplitsOutliveTheirOrigin() {
    Ranks.run(
        4,
        over("shm"),
        rank -> {
          Communicator half = rank.communicator.split(rank.number() % 2, 0).orElseThrow();
          Communicator one = half.split(half.rank(), 0).orElseThrow();
          half.close();
          assertThat(one.size()).isEqualTo(1);
          Tensor tensor = filled(rank, 5);
          one.allReduce(tensor, tensor, SUM);
          one.close();
          rank.communicator.barrier();
          return true;
        });
  }

  @Test
  void aGroupIsStartedAsAWholeOrNotAtAll() {
    Ranks.run(
        2,
        over("shm"),
        rank -> {
          Communicator all = rank.communicator;
          Tensor first = rank.sharedTensor(DType.F32, 10);
          Tensor second = rank.sharedTensor(DType.F32, 5000);
          PreparedCollective a = Ranks.prepareSum(rank.communicator, first);
          PreparedCollective b = Ranks.prepareSum(rank.communicator, second);
          Work both = all.startTogether(List.of(a, b));
          both.await();
          assertThat(both.isDone()).isTrue();
          second.buffer().close();
          assertThatThrownBy(() -> all.startTogether(List.of(a, b)))
              .isInstanceOf(IllegalStateException.class);
          first.buffer().close(); // not leased: it was not started
          return true;
        });
  }

  @ParameterizedTest(name = "{0}, elements={1}")
  @CsvSource({"shm, 16", "shm, 20000", "steady-messages, 16", "steady-messages, 20000"})
  void preparedCollectivesAllocateNothing(String transport, int elements) {
    var threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
    Ranks.run(
        2,
        over(transport),
        rank -> {
          PreparedCollective sum =
              Ranks.prepareSum(rank.communicator, rank.sharedTensor(DType.F32, elements));
          for (int i = 0; i < 5000; i++) {
            sum.run();
          }
          // Until the compiler has replaced it, vector code allocates, and on a busy machine the
          // compiler comes late: one quiet round is proof.
          long least = Long.MAX_VALUE;
          for (int round = 0; round < 5000 && least > 0; round++) {
            long before = threads.getCurrentThreadAllocatedBytes();
            for (int i = 0; i < 200; i++) {
              sum.run();
            }
            least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
            // Both ranks make as many rounds.
            least = agreeOnLeast(rank, least);
          }
          assertThat(least).isZero();
          return true;
        });
  }

  /// Returns the least of what the ranks say: all make as many rounds.
  static long agreeOnLeast(Ranks.Rank rank, long mine) {
    Tensor tensor = rank.privateTensor(DType.I64, 1);
    tensor.segment().set(ValueLayout.JAVA_LONG, 0, mine);
    rank.communicator.allReduce(tensor, tensor, new ReduceOp.Max());
    return tensor.segment().get(ValueLayout.JAVA_LONG, 0);
  }

  @Test
  void aViewHasADeadlineOfItsOwn() {
    CountDownLatch over = new CountDownLatch(1);
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            2,
            over("shm"),
            rank -> {
              Tensor tensor = filled(rank, 4);
              Tensor out = empty(rank, 8);
              rank.communicator.allGather(tensor, out);
              if (rank.number() == 1) {
                over.await();
                return true;
              }
              try {
                rank.communicator.withTimeout(Duration.ofMillis(200)).allGather(tensor, out);
              } finally {
                over.countDown();
              }
              return true;
            });
    assertThat(outcomes.get(0).failure())
        .isInstanceOfSatisfying(
            CollectiveTimeoutException.class,
            timeout -> assertThat(timeout.missingRanks()).containsExactly(1));
  }

  @Test
  void anEmptyTensorMayLieAnywhereInTheOutput() {
    Ranks.run(
        2,
        over("shm"),
        rank -> {
          int me = rank.communicator.rank();
          Tensor out = empty(rank, 8);
          Tensor mine = me == 0 ? slice(out, 3, 0) : filled(rank, 8);
          rank.communicator.allGatherV(mine, out, List.of(0L, 8L));
          assertThat(of(out)).isEqualTo(IntStream.range(0, 8).map(i -> value(1, i)).toArray());
          return true;
        });
  }

  @Test
  void programmersErrorsOfEveryKindNameRankCollectiveAndSequence() {
    Ranks.run(
        1,
        over("shm"),
        rank -> {
          Communicator one = rank.communicator;
          one.barrier();
          Tensor ten = filled(rank, 10);
          Tensor nine = filled(rank, 9);
          Tensor floats = rank.privateTensor(DType.F32, 10);
          isRefused("all_gather", "elements=9", () -> one.allGather(ten, nine));
          isRefused("reduce_scatter", "dtype=F32", () -> one.reduceScatter(ten, floats, SUM));
          isRefused("gather", "root=1", () -> one.gather(ten, null, 1));
          isRefused("scatter", "elements=10, expected=9", () -> one.scatter(ten, nine, 0));
          isRefused("reduce", "root=-1", () -> one.reduce(ten, ten, SUM, -1));
          isRefused(
              "reduce_scatter",
              "op=band",
              () -> one.reduceScatter(floats, floats, new ReduceOp.BitAnd()));
          isRefused("all_gather", "counts=2", () -> one.allGatherV(ten, ten, List.of(5L, 5L)));
          isRefused("all_gather", "count=-1", () -> one.allGatherV(ten, ten, List.of(-1L)));
          isRefused(
              "sendrecv", "overlap", () -> one.sendReceive(slice(ten, 0, 9), slice(ten, 1, 9)));
          isRefused("sendrecv", "destination=1", () -> one.sendReceive(ten, ten, List.of(1)));
          isRefused("sendrecv", "two ranks", () -> one.sendReceive(ten, ten, List.of(0, 0)));
          isRefused("sendrecv", "partnersOf=2", () -> one.sendReceive(ten, ten, List.of(0, 1)));
          isRefused("sendrecv", "inputs=0", () -> one.sendReceive(null, ten, List.of(0)));
          isRefused("sendrecv", "is missing", () -> one.sendReceive(null, null, List.of(-1)));
          Tensor closed = filled(rank, 10);
          closed.buffer().close();
          assertThatThrownBy(() -> one.allToAll(closed, ten))
              .isInstanceOf(IllegalStateException.class)
              .hasMessageContaining("op=alltoall, rank=0, sequence=1");
          one.allToAll(ten, ten);
          return true;
        });
  }

  private static void isRefused(
      String op, String detail, org.assertj.core.api.ThrowableAssert.ThrowingCallable call) {
    assertThatThrownBy(call)
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("op=" + op)
        .hasMessageContaining("rank=0, sequence=1")
        .hasMessageContaining(detail);
  }
}
