package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.CollectiveMismatchException;
import dev.lockstep.failure.RankLostException;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// What a rank's work throws passes the ends of its communicators before the job is told. It is
/// still what the others hear first, and soon.
@Timeout(30)
final class ThrownInCommunicatorTest {
  private static final int RANKS = 4;
  private static final int THROWING = 1;

  /// What a rank does.
  private interface Work {
    void run(Job job);
  }

  /// Runs a rank as [Job#run] does, and returns what it throws.
  private static @Nullable Throwable thrown(Job job, Work work) {
    try (job) {
      try {
        work.run(job);
        return null;
      } catch (RuntimeException | Error failure) {
        job.fail(failure, "");
        return failure;
      }
    }
  }

  private static List<@Nullable Throwable> run(Duration liveness, Work work) throws Exception {
    JobConfig config = new JobConfig(Map.of(), Duration.ofSeconds(20), liveness, Long.MAX_VALUE);
    List<@Nullable Throwable> thrown = new ArrayList<>();
    try (ExecutorService threads = Executors.newCachedThreadPool()) {
      List<Future<@Nullable Throwable>> ranks = new ArrayList<>();
      for (Job job : Job.inProcess(RANKS, config)) {
        ranks.add(threads.submit(() -> thrown(job, work)));
      }
      for (Future<@Nullable Throwable> rank : ranks) {
        thrown.add(rank.get());
      }
    }
    return thrown;
  }

  private static void sum(Job job, Communicator among) {
    try (Buffer buffer = HostMemory.allocate(job.memory(), "tensor", Float.BYTES)) {
      Tensor tensor = Tensor.of(buffer, DType.F32, Shape.of(1));
      among.allReduce(tensor, tensor, new ReduceOp.Sum());
    }
  }

  private static void leave(Communicator communicator) {
    communicator.close();
  }

  private static void sumForEver(Job job, Communicator among) {
    while (true) {
      sum(job, among);
    }
  }

  private static void noteFailure(Job job, List<FailureRecord> first) {
    if (job.rank() != THROWING) {
      synchronized (first) {
        first.add(job.failure().orElseThrow());
      }
    }
  }

  private static void assertThatItCameFirst(
      FailureRecord first, List<@Nullable Throwable> thrown, long nanos) {
    assertThat(first.kind()).isEqualTo("ArithmeticException");
    assertThat(first.rank()).isEqualTo(THROWING);
    for (int rank = 0; rank < RANKS; rank++) {
      if (rank != THROWING) {
        assertThat(thrown.get(rank))
            .isInstanceOfSatisfying(
                RankLostException.class, lost -> assertThat(lost.lostRank()).isEqualTo(THROWING))
            .hasMessageContaining("boom");
      }
    }
    // Half a second, however many communicators there are; a wait for each takes six.
    assertThat(Duration.ofNanos(nanos)).isLessThan(Duration.ofSeconds(4));
  }

  @ParameterizedTest
  @ValueSource(strings = {"shm", "steady-messages"})
  void whatIsThrownInAMeshIsHeardFirstAndSoon(String transport) throws Exception {
    List<FailureRecord> first = new ArrayList<>();
    long[] start = new long[1];
    List<@Nullable Throwable> thrown =
        run(
            Duration.ofSeconds(2),
            job -> {
              CommunicatorOptions options = SameBitsTest.over(transport);
              try (Mesh mesh = Mesh.of(job, options, Mesh.Axis.parse("dp=2,tp=2"))) {
                sum(job, mesh.world());
                if (job.rank() == THROWING) {
                  start[0] = System.nanoTime();
                  throw new ArithmeticException("boom");
                }
                sumForEver(job, job.rank() == 0 ? mesh.axis("tp") : mesh.world());
              } finally {
                noteFailure(job, first);
              }
            });
    assertThatItCameFirst(first.getFirst(), thrown, System.nanoTime() - start[0]);
  }

  /// The others never come to what the throwing rank has started.
  @ParameterizedTest
  @ValueSource(strings = {"shm", "steady-messages"})
  void soItIsWithACollectiveUnderWay(String transport) throws Exception {
    List<FailureRecord> first = new ArrayList<>();
    long[] start = new long[1];
    List<@Nullable Throwable> thrown =
        run(
            Duration.ofSeconds(2),
            job -> {
              CommunicatorOptions options = SameBitsTest.over(transport);
              try (Buffer buffer = HostMemory.allocate(job.memory(), "tensor", Float.BYTES);
                  Communicator world = Communicator.world(job, options);
                  Communicator other = world.split(0, job.rank()).orElseThrow()) {
                Tensor tensor = Tensor.of(buffer, DType.F32, Shape.of(1));
                var sum = Ranks.prepareSum(world, tensor);
                sum.run();
                if (job.rank() == THROWING) {
                  start[0] = System.nanoTime();
                  var _ = sum.start();
                  throw new ArithmeticException("boom");
                }
                sumForEver(job, other);
              } finally {
                noteFailure(job, first);
              }
            });
    assertThatItCameFirst(first.getFirst(), thrown, System.nanoTime() - start[0]);
    assertThat(thrown.get(THROWING)).hasNoSuppressedExceptions();
  }

  @Test
  void whoClosesWithoutAWordIsNamedByThoseThatItLeaves() throws Exception {
    CountDownLatch over = new CountDownLatch(RANKS);
    List<@Nullable Throwable> thrown =
        run(
            Duration.ofMillis(600),
            job -> {
              try (Communicator world = Communicator.world(job, SameBitsTest.over("shm"))) {
                sum(job, world);
                if (job.rank() != THROWING) {
                  sumForEver(job, world);
                }
              } finally {
                over.countDown();
              }
              awaitAll(over);
            });
    assertThat(thrown.get(THROWING)).isNull();
    assertThat(thrown.get(0))
        .isInstanceOf(CollectiveMismatchException.class)
        .hasMessageContaining("rank 1 closes the communicator at sequence 1");
  }

  /// A rank that has gone on to something else.
  private static void awaitAll(CountDownLatch over) {
    try {
      over.await();
    } catch (InterruptedException ended) {
      throw new AssertionError(ended);
    }
  }

  /// What all have come to ends, also where the others are late to close something else.
  @ParameterizedTest
  @ValueSource(strings = {"shm", "steady-messages"})
  void whoIsLateToCloseOneCommunicatorEndsNothingOfAnother(String transport) throws Exception {
    List<@Nullable Throwable> thrown =
        run(
            Duration.ofSeconds(5),
            job -> {
              CommunicatorOptions options = SameBitsTest.over(transport);
              try (Communicator world = Communicator.world(job, options);
                  Communicator late = world.split(0, job.rank()).orElseThrow();
                  Communicator busy = world.split(0, job.rank()).orElseThrow();
                  Buffer buffer = HostMemory.allocate(job.memory(), "tensor", Float.BYTES)) {
                Tensor tensor = Tensor.of(buffer, DType.F32, Shape.of(1));
                sum(job, busy);
                if (job.rank() == THROWING) {
                  leave(late); // the others wait in the other one
                  var work = busy.allReduceAsync(tensor, tensor, new ReduceOp.Sum());
                  leave(busy);
                  work.await();
                } else {
                  sum(job, busy);
                }
              }
            });
    assertThat(thrown).containsOnlyNulls();
  }
}
