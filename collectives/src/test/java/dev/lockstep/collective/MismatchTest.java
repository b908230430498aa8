package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.failure.CollectiveMismatchException;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Ranks that are in different collectives all learn it, and what each was in.
@Timeout(60)
final class MismatchTest {
  private static List<Ranks.Outcome<Boolean>> runDifferentTypes(String transport) {
    return Ranks.outcomes(
        2,
        SameBitsTest.over(transport),
        rank -> {
          PreparedCollective floats = Ranks.prepareSum(rank, DType.F32, 100);
          PreparedCollective integers = Ranks.prepareSum(rank, DType.I32, 100);
          floats.run();
          (rank.number() == 0 ? floats : integers).run();
          return true;
        });
  }

  @ParameterizedTest
  @ValueSource(strings = {"in-process", "shm", "messages-only"})
  void ranksThatRunDifferentCollectivesBothLearnBoth(String transport) {
    List<Ranks.Outcome<Boolean>> outcomes = Ranks.answered(() -> runDifferentTypes(transport));
    for (int rank = 0; rank < 2; rank++) {
      var mismatch = outcomes.get(rank).failure(CollectiveMismatchException.class);
      assertThat(mismatch.peer()).isEqualTo(1 - rank);
      assertThat(mismatch.sequence()).isEqualTo(1);
      assertThat(mismatch.mine()).contains(rank == 0 ? "dtype=f32" : "dtype=i32");
      assertThat(mismatch.theirs()).contains(rank == 0 ? "dtype=i32" : "dtype=f32");
      assertThat(mismatch.mine()).contains("MismatchTest.java");
      assertThat(mismatch.theirs()).contains("MismatchTest.java");
    }
  }

  private static List<Ranks.Outcome<Boolean>> callDifferentKinds(String transport) {
    return Ranks.outcomes(
        2,
        SameBitsTest.over(transport),
        rank -> {
          Tensor tensor = rank.privateTensor(DType.I32, 40);
          Tensor out = rank.privateTensor(DType.I32, 80);
          rank.communicator.barrier();
          rank.communicator.allReduce(tensor, tensor, new ReduceOp.Sum());
          rank.communicator.allGather(tensor, out);
          if (rank.number() == 0) {
            rank.communicator.allReduce(tensor, tensor, new ReduceOp.Sum());
          } else {
            rank.communicator.barrier();
          }
          return true;
        });
  }

  @ParameterizedTest
  @ValueSource(strings = {"in-process", "shm", "messages-only"})
  void ranksInCollectivesOfDifferentKindsBothLearnBoth(String transport) {
    List<Ranks.Outcome<Boolean>> outcomes = Ranks.answered(() -> callDifferentKinds(transport));
    for (int rank = 0; rank < 2; rank++) {
      String mine = rank == 0 ? "all_reduce" : "barrier";
      String theirs = rank == 0 ? "barrier" : "all_reduce";
      assertThat(outcomes.get(rank).failure())
          .isInstanceOfSatisfying(
              CollectiveMismatchException.class,
              mismatch -> {
                assertThat(mismatch.mine()).contains(mine).contains("MismatchTest.java");
                assertThat(mismatch.theirs()).contains(theirs).contains("MismatchTest.java");
              });
    }
  }

  @Test
  void aRankThatIsInterruptedAndDisagreesLearnsWithWhom() {
    CountDownLatch sent = new CountDownLatch(1);
    CountDownLatch over = new CountDownLatch(1);
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            2,
            SameBitsTest.over("steady-messages"),
            rank -> {
              PreparedCollective floats =
                  Ranks.prepareBroadcast(rank.communicator, rank.privateTensor(DType.F32, 100));
              PreparedCollective integers =
                  Ranks.prepareBroadcast(rank.communicator, rank.privateTensor(DType.I32, 100));
              if (rank.number() == 1) {
                floats.run();
                sent.countDown();
                over.await(); // answers no questions
                return true;
              }
              sent.await();
              Thread.currentThread().interrupt();
              Throwable failure = catchThrowable(integers::run);
              assertThat(Thread.interrupted()).isTrue();
              over.countDown();
              assertThat(failure)
                  .isInstanceOfSatisfying(
                      CollectiveMismatchException.class,
                      mismatch -> assertThat(mismatch.peer()).isEqualTo(1));
              assertThat(rank.job.failure()).isPresent();
              assertThatThrownBy(floats::run).isInstanceOf(CollectiveAbortedException.class);
              return true;
            });
    assertThat(outcomes.get(0).failure()).isNull();
  }

  @Test
  void ranksThatPrepareDifferentCollectivesBothLearnBoth() {
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            3,
            SameBitsTest.over("shm"),
            rank -> {
              Ranks.prepareSum(rank, DType.F32, rank.number() == 2 ? 101 : 100).run();
              return true;
            });
    assertThat(outcomes.get(0).failure(CollectiveMismatchException.class).peer()).isEqualTo(2);
    var third = outcomes.get(2).failure(CollectiveMismatchException.class);
    assertThat(third.mine()).contains("elements=101").contains("MismatchTest.java");
    assertThat(third.theirs()).contains("elements=100").contains("MismatchTest.java");
  }
}
