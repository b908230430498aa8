package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.collective.agreement.Agreement;
import dev.lockstep.collective.execute.Progress;
import dev.lockstep.deadline.Deadline;
import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.failure.CollectiveException;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// An abort returns within a second, wherever another thread of the rank waits, and ends that wait.
@Timeout(60)
final class AbortTest {
  private static final long PATIENCE_SECONDS = 5;

  /// Where a thread waits for the other rank.
  enum Wait {
    PREPARE(Agreement.class),
    FIRST_CALL(Agreement.class),
    SPLIT(Agreement.class),
    GROUP(Progress.class),
    CLOSE(Agreement.class);

    private final Class<?> inside;

    Wait(Class<?> inside) {
      this.inside = inside;
    }

    void run(Ranks.Rank rank, List<PreparedCollective> group) {
      Communicator all = rank.communicator;
      Tensor tensor = rank.privateTensor(DType.F32, 100);
      switch (this) {
        case PREPARE -> Ranks.prepareSum(all, tensor).close();
        case FIRST_CALL -> all.allReduce(tensor, tensor, new ReduceOp.Max());
        case SPLIT -> all.split(0, 0).ifPresent(Communicator::close);
        case GROUP -> all.startTogether(group).await();
        case CLOSE -> all.close();
      }
    }
  }

  @ParameterizedTest(name = "{0}, {1}")
  @CsvSource({
    "PREPARE, shm",
    "FIRST_CALL, shm",
    "SPLIT, shm",
    "GROUP, shm",
    "GROUP, messages-only",
    "CLOSE, shm"
  })
  void anAbortReturnsAtOnceAndEndsTheWait(Wait wait, String transport) {
    CountDownLatch prepared = new CountDownLatch(2);
    CountDownLatch aborted = new CountDownLatch(1);
    CountDownLatch seen = new CountDownLatch(1);
    Ranks.run(
        2,
        SameBitsTest.over(transport),
        rank -> {
          List<PreparedCollective> group =
              List.of(
                  Ranks.prepareSum(rank.communicator, rank.sharedTensor(DType.F32, 10)),
                  Ranks.prepareSum(rank.communicator, rank.sharedTensor(DType.F32, 10_000)));
          prepared.countDown();
          prepared.await(); // who prepares when the job fails has failed too
          if (rank.number() == 1) {
            try {
              aborted.await();
              assertThatThrownBy(rank.communicator::barrier)
                  .isInstanceOf(CollectiveException.class);
            } finally {
              seen.countDown();
            }
            return true;
          }
          FutureTask<@Nullable Void> waiting = new FutureTask<>(() -> wait.run(rank, group), null);
          Thread waits = Thread.ofPlatform().daemon().start(waiting);
          Deadline.until(() -> FailureTest.isInside(waits, wait.inside));
          long start = System.nanoTime();
          rank.communicator.abort(new IllegalStateException("enough"));
          assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(1));
          if (wait == Wait.CLOSE) {
            assertThat(waiting.get(PATIENCE_SECONDS, TimeUnit.SECONDS)).isNull();
            assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(rank.job.liveness());
          } else {
            assertThatThrownBy(() -> waiting.get(PATIENCE_SECONDS, TimeUnit.SECONDS))
                .isInstanceOf(ExecutionException.class)
                .cause()
                .isInstanceOf(CollectiveAbortedException.class)
                .hasMessageContaining("enough");
          }
          aborted.countDown();
          seen.await();
          return true;
        });
  }
}
