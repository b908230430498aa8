package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import dev.lockstep.collective.execute.Progress;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.deadline.Deadline;
import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.failure.CollectiveException;
import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.RankLostException;
import dev.lockstep.failure.TransportException;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Region;
import dev.lockstep.memory.StubRegion;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Whatever goes wrong ends every wait with a typed failure that says what and who.
@Timeout(60)
final class FailureTest {
  @Test
  void whatArrivesAfterAFailureIsNotWrittenIntoTheTensor() {
    CountDownLatch started = new CountDownLatch(1);
    CountDownLatch failed = new CountDownLatch(1);
    CountDownLatch sent = new CountDownLatch(1);
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            2,
            SameBitsTest.over("steady-messages"),
            rank -> {
              Tensor tensor = rank.privateTensor(DType.I32, 100);
              PreparedCollective late = Ranks.prepareBroadcast(rank.communicator, tensor);
              try (Communicator other = rank.communicator.split(0, 0).orElseThrow()) {
                PreparedCollective elsewhere =
                    Ranks.prepareBroadcast(other, rank.privateTensor(DType.I32, 100));
                if (rank.number() == 1) {
                  started.await();
                  rank.job.fail(new IllegalStateException("out of ideas"), "thinking");
                  failed.await();
                  var _ = catchThrowable(late::run);
                  sent.countDown();
                  return true;
                }
                started.countDown();
                assertThatThrownBy(late::run).isInstanceOf(RankLostException.class);
                tensor.segment().fill((byte) 7);
                failed.countDown();
                sent.await();
                // Looks at all links of the transport.
                assertThatThrownBy(elsewhere::run).isInstanceOf(CollectiveException.class);
                assertThat(tensor.segment().toArray(ValueLayout.JAVA_BYTE)).containsOnly(7);
              }
              return true;
            });
    assertThat(outcomes.get(0).failure()).isNull();
  }

  @ParameterizedTest
  @ValueSource(strings = {"in-process", "shm", "messages-only"})
  void aRankThatFailsIsNamedOnEverySurvivorAtOnce(String transport) {
    List<Ranks.Outcome<Long>> outcomes =
        Ranks.outcomes(
            3,
            SameBitsTest.over(transport),
            rank -> {
              PreparedCollective sum = Ranks.prepareSum(rank, DType.F32, 1000);
              sum.run();
              if (rank.number() == 1) {
                IllegalStateException own = new IllegalStateException("out of ideas");
                rank.job.fail(own, "thinking");
                throw own;
              }
              sum.run();
              return 0L;
            });
    for (int survivor : new int[] {0, 2}) {
      var lost = outcomes.get(survivor).failure(RankLostException.class);
      assertThat(lost.lostRank()).isEqualTo(1);
      assertThat(lost).hasMessageContaining("out of ideas");
      assertThat(lost.getCause()).hasMessageContaining("thinking");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"in-process", "shm", "messages-only"})
  void abortEndsWaitsAndForbidsFurtherUse(String transport) {
    CountDownLatch firstIsOver = new CountDownLatch(2);
    CountDownLatch over = new CountDownLatch(1);
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            2,
            SameBitsTest.over(transport),
            rank -> {
              PreparedCollective sum = Ranks.prepareSum(rank, DType.F32, 1000);
              sum.run();
              // A rank may be through while its peer is still inside.
              firstIsOver.countDown();
              firstIsOver.await();
              if (rank.number() == 1) {
                over.await();
                // What the other rank had sent before may be all that one run needs.
                Throwable told = catchThrowable(sum::run);
                if (told == null) {
                  told = catchThrowable(sum::run);
                }
                assertThat(told).isInstanceOf(RankLostException.class);
                assertThat(told).hasMessageContaining("enough");
                return true;
              }
              FutureTask<@Nullable Void> waiting = new FutureTask<>(sum::run, null);
              Thread waits = Thread.ofPlatform().daemon().start(waiting);
              Deadline.until(() -> isInside(waits, Progress.class));
              rank.communicator.abort(new IllegalStateException("enough"));
              assertThatThrownBy(waiting::get)
                  .isInstanceOf(ExecutionException.class)
                  .cause()
                  .isInstanceOf(CollectiveAbortedException.class)
                  .hasMessageContaining("enough");
              assertThatThrownBy(sum::run)
                  .isInstanceOf(CollectiveAbortedException.class)
                  .hasMessageContaining("cannot be used after a failure");
              assertThatThrownBy(rank.communicator::barrier)
                  .isInstanceOf(CollectiveAbortedException.class);
              over.countDown();
              return true;
            });
    for (Ranks.Outcome<Boolean> outcome : outcomes) {
      assertThat(outcome.failure()).isNull();
    }
  }

  static boolean isInside(Thread thread, Class<?> type) {
    return Arrays.stream(thread.getStackTrace())
        .anyMatch(frame -> frame.getClassName().equals(type.getName()));
  }

  /// What rank 1 finds of it is that its memory is gone.
  @Test
  void aRankThatFailsWhileOthersPrepareIsNamed() {
    CountDownLatch asked = new CountDownLatch(1);
    CountDownLatch gone = new CountDownLatch(1);
    CountDownLatch over = new CountDownLatch(1);
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            2,
            SameBitsTest.over("in-process"),
            rank -> {
              Tensor tensor = rank.sharedTensor(DType.F32, 100_000);
              Ranks.prepareSum(rank.communicator, tensor).close();
              if (rank.number() == 1) {
                replaceMemoryOf(0, rank.job, new LostMemory(asked, gone));
              }
              try (PreparedCollective _ = Ranks.prepareSum(rank.communicator, tensor)) {
                if (rank.number() == 0) {
                  Deadline.until(() -> asked.getCount() == 0); // they have told each other
                  rank.job.fail(new IllegalStateException("out of ideas"), "thinking");
                  gone.countDown();
                  over.await(); // what the other rank finds is withdrawn with this one
                }
              } finally {
                if (rank.number() == 1) {
                  over.countDown();
                }
              }
              return true;
            });
    assertThat(outcomes.get(0).failure()).isNull();
    var lost = outcomes.get(1).failure(RankLostException.class);
    assertThat(lost.lostRank()).isZero();
    assertThat(lost).hasMessageContaining("out of ideas");
    assertThat(lost.getSuppressed())
        .anySatisfy(
            broken ->
                assertThat(broken)
                    .isInstanceOf(TransportException.class)
                    .hasMessageContaining("peer's memory cannot be opened"));
  }

  /// Lets ranks of this JVM find other memory in place of a rank's.
  private static void replaceMemoryOf(int rank, Job job, Region with) {
    ConcurrentMap<String, Object> objects = job.store().local().orElseThrow();
    String regions = "in-process/region/" + rank + "/";
    assertThat(objects).anySatisfy((key, _) -> assertThat(key).startsWith(regions));
    objects.replaceAll((key, object) -> key.startsWith(regions) ? with : object);
  }

  /// Memory of a rank that leaves while it is looked for.
  private static final class LostMemory extends StubRegion {
    private final CountDownLatch asked;
    private final CountDownLatch gone;

    LostMemory(CountDownLatch asked, CountDownLatch gone) {
      this.asked = asked;
      this.gone = gone;
    }

    @Override
    public MemorySegment segment() {
      asked.countDown();
      Deadline.until(() -> gone.getCount() == 0);
      throw new IllegalStateException("memory is closed");
    }

    @Override
    public boolean isClosed() {
      return true;
    }
  }

  @Test
  void whatIsQueuedFailsWithTheFirst() {
    CountDownLatch over = new CountDownLatch(1);
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            2,
            SameBitsTest.over("shm"),
            rank -> {
              Tensor tensor = rank.privateTensor(DType.F32, 10);
              rank.communicator.allReduce(tensor, tensor, new ReduceOp.Sum());
              if (rank.number() == 1) {
                over.await();
                return true;
              }
              Duration soon = Duration.ofMillis(200);
              Work first =
                  rank.communicator.allReduceAsync(tensor, tensor, new ReduceOp.Sum(), soon);
              Work second = rank.communicator.allReduceAsync(tensor, tensor, new ReduceOp.Sum());
              assertThatThrownBy(second::await).isInstanceOf(CollectiveAbortedException.class);
              assertThatThrownBy(first::await).isInstanceOf(CollectiveTimeoutException.class);
              over.countDown();
              return true;
            });
    for (Ranks.Outcome<Boolean> outcome : outcomes) {
      assertThat(outcome.failure()).isNull();
    }
  }

  @Test
  void tensorsAreLeasedWhileInFlight() {
    CountDownLatch started = new CountDownLatch(1);
    Ranks.run(
        2,
        SameBitsTest.over("in-process"),
        rank -> {
          Tensor tensor = rank.sharedTensor(DType.F32, 10);
          PreparedCollective sum =
              rank.communicator.prepare(
                  CollectiveRequest.allReduce(
                      DType.F32,
                      new ReduceOp.Sum(),
                      10,
                      true,
                      rank.communicator.topology(),
                      LaneSplit.onePerRank(2),
                      Mode.SAME_BITS),
                  List.of(tensor),
                  tensor);
          if (rank.number() == 1) {
            started.await();
            sum.run();
            return true;
          }
          Work work = sum.start();
          assertThatThrownBy(tensor.buffer()::close).isInstanceOf(IllegalStateException.class);
          assertThatThrownBy(sum::start)
              .isInstanceOf(IllegalStateException.class)
              .hasMessageContaining("all_reduce#0");
          assertThatThrownBy(sum::close).isInstanceOf(IllegalStateException.class);
          started.countDown();
          work.await();
          tensor.buffer().close();
          assertThatThrownBy(sum::run)
              .isInstanceOf(IllegalStateException.class)
              .hasMessageContaining("all_reduce")
              .hasMessageContaining("rank=0")
              .hasMessageContaining("sequence=1");
          return true;
        });
  }

  @Test
  void programmersErrorsNameRankCollectiveAndSequence() {
    Ranks.run(
        1,
        SameBitsTest.over("shm"),
        rank -> {
          Communicator communicator = rank.communicator;
          communicator.barrier();
          Tensor ten = rank.privateTensor(DType.F32, 10);
          Tensor nine = rank.privateTensor(DType.F32, 9);
          Tensor integers = rank.privateTensor(DType.I32, 10);
          ReduceOp sum = new ReduceOp.Sum();
          assertThatThrownBy(() -> communicator.allReduce(ten, nine, sum))
              .isInstanceOf(IllegalArgumentException.class)
              .hasMessageContaining("op=all_reduce, rank=0, sequence=1, elements=9, expected=10");
          assertThatThrownBy(() -> communicator.allReduce(ten, integers, sum))
              .isInstanceOf(IllegalArgumentException.class)
              .hasMessageContaining("dtype=I32, expected=F32");
          assertThatThrownBy(() -> communicator.allReduce(integers, integers, new ReduceOp.Avg()))
              .isInstanceOf(IllegalArgumentException.class)
              .hasMessageContaining("rank=0, sequence=1");
          assertThatThrownBy(() -> communicator.broadcast(ten, 1))
              .isInstanceOf(IllegalArgumentException.class)
              .hasMessageContaining("root=1")
              .hasMessageContaining("op=broadcast, rank=0, sequence=1");
          Tensor overlapping = new Tensor(ten.buffer(), 4, DType.F32, Shape.of(9));
          Tensor first = new Tensor(ten.buffer(), 0, DType.F32, Shape.of(9));
          assertThatThrownBy(() -> communicator.allReduce(first, overlapping, sum))
              .isInstanceOf(IllegalArgumentException.class)
              .hasMessageContaining("overlap");
          communicator.allReduce(ten, ten, sum);
          return true;
        });
  }

  @Test
  void closingWithWorkUnderWayFailsIt() {
    CountDownLatch prepared = new CountDownLatch(2);
    CountDownLatch over = new CountDownLatch(1);
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            2,
            SameBitsTest.over("shm"),
            rank -> {
              PreparedCollective sum = Ranks.prepareSum(rank, DType.F32, 1000);
              prepared.countDown();
              prepared.await(); // who prepares when the job fails has failed too
              if (rank.number() == 1) {
                over.await();
                assertThatThrownBy(sum::run).isInstanceOf(CollectiveException.class);
                return true;
              }
              Work work = sum.start();
              rank.communicator.close();
              assertThatThrownBy(work::isDone).isInstanceOf(CollectiveAbortedException.class);
              assertThatThrownBy(sum::run).isInstanceOf(IllegalStateException.class);
              over.countDown();
              return true;
            });
    for (Ranks.Outcome<Boolean> outcome : outcomes) {
      assertThat(outcome.failure()).isNull();
    }
  }
}
