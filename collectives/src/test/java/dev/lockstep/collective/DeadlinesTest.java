package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.algorithm.SwapAllToAll;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.deadline.MachineLoad;
import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Deadlines hold from the first call on, and a rank that cannot go on once the others were told of
/// its call has failed on all.
@Timeout(60)
final class DeadlinesTest {
  private static final Duration SOON = Duration.ofMillis(200);

  /// Enough for what all ranks come to, be it on a machine that stands still for a moment.
  private static final Duration SECOND = Duration.ofSeconds(1);

  private static void succeeds(List<Ranks.Outcome<Boolean>> outcomes) {
    for (Ranks.Outcome<Boolean> outcome : outcomes) {
      assertThat(outcome.failure()).isNull();
    }
  }

  /// Rank 0 does not wait for long, rank 1 would, rank 2 comes when both have given up.
  private static void endsOnAllRanks(String transport, Consumer<Ranks.Rank> call) {
    CountDownLatch givenUp = new CountDownLatch(2);
    succeeds(
        Ranks.outcomes(
            3,
            SameBitsTest.over(transport),
            rank -> {
              if (rank.number() == 2) {
                givenUp.await();
              }
              var late =
                  catchThrowableOfType(CollectiveTimeoutException.class, () -> call.accept(rank));
              givenUp.countDown();
              assertThat(late).hasMessageContaining("rank=" + rank.number());
              assertThat(late.elapsedNanos())
                  .as(MachineLoad::now)
                  .isLessThan(TimeUnit.SECONDS.toNanos(10));
              if (rank.number() < 2) {
                assertThat(late.missingRanks()).contains(2);
              } else {
                assertThat(late.missingRanks()).doesNotContain(2);
              }
              assertThat(rank.job.failure())
                  .hasValueSatisfying(record -> assertThat(record.rank()).isZero());
              assertThatThrownBy(rank.communicator::barrier)
                  .isInstanceOf(CollectiveAbortedException.class)
                  .hasMessageContaining("cannot be used after a failure");
              return true;
            }));
  }

  @ParameterizedTest
  @ValueSource(strings = {"shm", "messages-only"})
  void aFirstCallHasADeadlineOfItsOwn(String transport) {
    endsOnAllRanks(
        transport,
        rank -> {
          if (rank.number() == 0) {
            rank.communicator.barrier(SOON);
          } else {
            rank.communicator.barrier();
          }
        });
  }

  @Test
  void preparingThroughAViewHasItsDeadline() {
    endsOnAllRanks(
        "shm",
        rank -> {
          Communicator all = rank.communicator;
          Communicator asked = rank.number() == 0 ? all.withTimeout(SOON) : all;
          Ranks.prepareSum(asked, rank.sharedTensor(DType.F32, 10));
        });
  }

  @Test
  void splittingThroughAViewHasItsDeadline() {
    CountDownLatch givenUp = new CountDownLatch(1);
    succeeds(
        Ranks.outcomes(
            2,
            SameBitsTest.over("shm"),
            rank -> {
              if (rank.number() == 1) {
                givenUp.await();
                assertThatThrownBy(() -> rank.communicator.split(0, 0))
                    .isInstanceOf(LockstepException.class)
                    .hasMessageContaining("splitting a communicator");
                return true;
              }
              assertThatThrownBy(() -> rank.communicator.withTimeout(SOON).split(0, 0))
                  .isInstanceOfSatisfying(
                      CollectiveTimeoutException.class,
                      late -> assertThat(late.missingRanks()).containsExactly(1));
              assertThatThrownBy(rank.communicator::barrier)
                  .isInstanceOf(CollectiveAbortedException.class);
              givenUp.countDown();
              return true;
            }));
  }

  @Test
  void aCollectiveThatWaitsForItsTurnIsNotLate() {
    CountDownLatch waited = new CountDownLatch(1);
    Ranks.run(
        2,
        SameBitsTest.over("shm"),
        rank -> {
          Communicator all = rank.communicator;
          PreparedCollective first = Ranks.prepareSum(all, rank.sharedTensor(DType.F32, 10));
          PreparedCollective second =
              Ranks.prepareSum(all.withTimeout(SECOND), rank.sharedTensor(DType.F32, 20));
          if (rank.number() == 1) {
            waited.await();
          }
          Work one = first.start();
          Work other = second.start();
          long start = System.nanoTime();
          while (rank.number() == 0 && System.nanoTime() - start < SECOND.toNanos() * 5 / 4) {
            assertThat(other.poll()).isFalse();
          }
          waited.countDown();
          one.await();
          other.await();
          return true;
        });
  }

  @Test
  void whatIsStartedTogetherHasTheDeadlinesItWasPreparedWith() {
    CountDownLatch givenUp = new CountDownLatch(1);
    succeeds(
        Ranks.outcomes(
            2,
            SameBitsTest.over("shm"),
            rank -> {
              Communicator all = rank.communicator;
              PreparedCollective sum =
                  Ranks.prepareSum(all.withTimeout(SECOND), rank.sharedTensor(DType.F32, 10));
              if (rank.number() == 1) {
                givenUp.await();
                return true;
              }
              try {
                assertThatThrownBy(() -> all.startTogether(List.of(sum)).await())
                    .isInstanceOfSatisfying(
                        CollectiveTimeoutException.class,
                        late -> assertThat(late.timeoutNanos()).isEqualTo(SECOND.toNanos()));
              } finally {
                givenUp.countDown();
              }
              return true;
            }));
  }

  @Test
  void noDeadlineIsTooLong() {
    Duration forEver = ChronoUnit.FOREVER.getDuration();
    Ranks.run(
        2,
        SameBitsTest.over("shm").withTimeout(forEver),
        rank -> {
          Communicator view = rank.communicator.withTimeout(forEver);
          view.barrier();
          view.barrier(forEver);
          view.barrierAsync(forEver).await();
          PreparedCollective sum = Ranks.prepareSum(view, rank.sharedTensor(DType.F32, 10));
          sum.run();
          view.startTogether(List.of(sum)).await();
          rank.communicator.barrier();
          return true;
        });
  }

  @Test
  void aDeadlineIsPositive() {
    Ranks.run(
        1,
        SameBitsTest.over("shm"),
        rank -> {
          for (Duration none : List.of(Duration.ZERO, Duration.ofSeconds(-1))) {
            assertThatThrownBy(() -> rank.communicator.withTimeout(none))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage(
                    "deadline is not positive: rank=0, timeout=%s (take one above 0; 36500 days and more are for ever)"
                        .formatted(none));
            assertThatThrownBy(() -> rank.communicator.barrier(none))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("op=barrier, rank=0, timeout=%s (take".formatted(none));
            assertThatThrownBy(() -> CommunicatorOptions.defaults().withTimeout(none))
                .isInstanceOf(ConfigurationException.class)
                .hasMessageContaining("option=timeout, timeout=%s (take".formatted(none));
          }
          return true;
        });
  }

  private static PreparedCollective prepareSwaps(Ranks.Rank rank, Tensor tensor) {
    return rank.communicator.prepare(
        CollectiveRequest.allToAll(
            DType.F32, Counts.each(9, 100), true, rank.communicator.topology()),
        new SwapAllToAll(),
        List.of(tensor),
        tensor);
  }

  /// With room for all but the last of what a rank needs to swap with two others.
  @Test
  void whatCannotBePreparedLeavesNothingBehindAndEndsOnAllRanks() {
    long budget = 8 << 20;
    CountDownLatch failed = new CountDownLatch(1);
    CountDownLatch over = new CountDownLatch(2);
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            3,
            budget,
            SameBitsTest.over("in-process"),
            rank -> {
              Tensor tensor = rank.sharedTensor(DType.F32, 300);
              long before = rank.job.memory().usedBytes();
              PreparedCollective fits = prepareSwaps(rank, tensor);
              long needs = rank.job.memory().usedBytes() - before;
              fits.close();
              assertThat(rank.job.memory().usedBytes()).isEqualTo(before);
              long rest = budget - before - (rank.number() == 0 ? needs - 1 : needs);
              try (Buffer _ = HostMemory.allocate(rank.job.memory(), "the rest", rest)) {
                long used = rank.job.memory().usedBytes();
                if (rank.number() == 0) {
                  assertThatThrownBy(() -> prepareSwaps(rank, tensor))
                      .isInstanceOf(MemoryBudgetException.class)
                      .hasMessageContaining("collective registers");
                  // Before the communicator is closed, which frees whatever was left.
                  assertThat(rank.job.memory().usedBytes()).isEqualTo(used);
                  assertThatThrownBy(rank.communicator::barrier)
                      .isInstanceOf(CollectiveAbortedException.class);
                  failed.countDown();
                  over.await(); // they may look for its tensor until they hear of it
                } else {
                  // It may be through before it hears of the other.
                  var _ = catchThrowable(() -> prepareSwaps(rank, tensor));
                  over.countDown();
                  failed.await();
                  assertThatThrownBy(rank.communicator::barrier)
                      .isInstanceOf(LockstepException.class)
                      .hasMessageContaining("collective registers");
                }
              }
              return true;
            });
    succeeds(outcomes);
  }

  @ParameterizedTest
  @ValueSource(strings = {"in-process", "shm", "messages-only"})
  void deadlinesNameTheMissingRank(String transport) {
    CountDownLatch over = new CountDownLatch(2);
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            3,
            SameBitsTest.over(transport).withTimeout(SECOND),
            rank -> {
              PreparedCollective sum = Ranks.prepareSum(rank, DType.F32, 1000);
              sum.run();
              if (rank.number() == 2) {
                over.await();
                return true;
              }
              try {
                sum.run();
              } finally {
                over.countDown();
              }
              return true;
            });
    for (int rank = 0; rank < 2; rank++) {
      var timeout = outcomes.get(rank).failure(CollectiveTimeoutException.class);
      assertThat(timeout.missingRanks()).containsExactly(2);
      assertThat(timeout.sequence()).isEqualTo(1);
      assertThat(timeout.timeoutNanos()).isEqualTo(1_000_000_000L);
      assertThat(timeout.elapsedNanos())
          .as(MachineLoad::now)
          .isBetween(900_000_000L, 5_000_000_000L);
      assertThat(timeout).hasMessageContaining("all_reduce#1").hasMessageContaining("[2]");
    }
  }

  /// Rank 3 gets from rank 2 what that gets from rank 0, and is more patient.
  @Test
  void whoHearsOfADeadlineNamesTheRankThatWasMissedThere() {
    CountDownLatch over = new CountDownLatch(3);
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            4,
            SameBitsTest.over("messages-only"),
            rank -> {
              Communicator all = rank.communicator;
              Tensor tensor = rank.privateTensor(DType.I32, 100);
              all.barrier();
              PreparedCollective broadcast =
                  (rank.number() == 2 ? all.withTimeout(SECOND) : all)
                      .prepare(
                          CollectiveRequest.broadcast(DType.I32, 100, 0, all.topology()),
                          Algorithms.named("binomial-broadcast").orElseThrow(),
                          rank.number() == 0 ? List.of(tensor) : List.of(),
                          tensor);
              if (rank.number() == 0) {
                over.await();
                return true;
              }
              try {
                broadcast.run();
              } finally {
                over.countDown();
              }
              return true;
            });
    for (int rank = 1; rank < 4; rank++) {
      assertThat(outcomes.get(rank).failure(CollectiveTimeoutException.class).missingRanks())
          .as("rank %d", rank)
          .containsExactly(0);
    }
  }

  @Test
  void oneShotsHaveDeadlinesOfTheirOwn() {
    CountDownLatch over = new CountDownLatch(1);
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            2,
            SameBitsTest.over("shm"),
            rank -> {
              rank.communicator.barrier();
              if (rank.number() == 1) {
                over.await();
                return true;
              }
              try {
                rank.communicator.barrier(Duration.ofMillis(200));
              } finally {
                over.countDown();
              }
              return true;
            });
    assertThat(outcomes.get(0).failure(CollectiveTimeoutException.class).missingRanks())
        .containsExactly(1);
  }
}
