package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.CollectiveMismatchException;
import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.RankLostException;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Failures name ranks of the job, also in a communicator in which they have other numbers.
@Timeout(30)
final class SplitFailuresTest {
  private static final int RANKS = 4;

  /// What a rank does in its pair.
  private interface Body {
    void run(Ranks.Rank rank, Communicator pair) throws Exception;
  }

  /// Runs it on one of the pairs {1, 0} and {3, 2}.
  private static List<Ranks.Outcome<Boolean>> inPair(int pair, String transport, Body body) {
    return Ranks.outcomes(
        RANKS,
        SameBitsTest.over(transport),
        rank -> {
          int mine = rank.number() / 2;
          try (Communicator part = rank.communicator.split(mine, -rank.number()).orElseThrow()) {
            if (mine == pair) {
              body.run(rank, part);
            }
          }
          return true;
        });
  }

  private static PreparedCollective prepareSum(Ranks.Rank rank, Communicator in, DType dtype) {
    return Ranks.prepareSum(in, rank.sharedTensor(dtype, 1000));
  }

  @ParameterizedTest(name = "{0}, pair={1}")
  @CsvSource({"shm, 0", "shm, 1", "steady-messages, 0", "steady-messages, 1"})
  void ranksThatDisagreeNameEachOther(String transport, int pair) {
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.answered(
            () ->
                inPair(
                    pair,
                    transport,
                    (rank, part) -> {
                      PreparedCollective floats = prepareSum(rank, part, DType.F32);
                      PreparedCollective integers = prepareSum(rank, part, DType.I32);
                      (rank.number() % 2 == 0 ? floats : integers).run();
                    }));
    for (int rank = 2 * pair; rank < 2 * pair + 2; rank++) {
      int peer = rank ^ 1;
      assertThat(outcomes.get(rank).failure())
          .isInstanceOfSatisfying(
              CollectiveMismatchException.class,
              mismatch -> {
                assertThat(mismatch.peer()).isEqualTo(peer);
                assertThat(mismatch.mine()).contains(peer % 2 == 1 ? "dtype=f32" : "dtype=i32");
                assertThat(mismatch.theirs()).contains(peer % 2 == 0 ? "dtype=f32" : "dtype=i32");
              });
    }
  }

  @ParameterizedTest(name = "{0}, pair={1}")
  @CsvSource({"shm, 0", "shm, 1", "steady-messages, 0", "steady-messages, 1"})
  void deadlinesNameTheMissingRank(String transport, int pair) {
    CountDownLatch over = new CountDownLatch(1);
    List<Ranks.Outcome<Boolean>> outcomes =
        inPair(
            pair,
            transport,
            (rank, part) -> {
              part.barrier();
              if (rank.number() % 2 == 1) {
                over.await();
                return;
              }
              try {
                part.barrier(Duration.ofMillis(200));
              } finally {
                over.countDown();
              }
            });
    assertThat(outcomes.get(2 * pair).failure())
        .isInstanceOfSatisfying(
            CollectiveTimeoutException.class,
            timeout -> assertThat(timeout.missingRanks()).containsExactly(2 * pair + 1));
  }

  @Test
  void aRankWhoseLinksEndIsNamed() {
    List<Ranks.Outcome<Boolean>> outcomes =
        inPair(
            0,
            "dying", // all links of rank 1, after a while
            (rank, part) -> {
              Tensor tensor = rank.privateTensor(DType.F32, 1000);
              for (int round = 0; round < 100; round++) {
                part.allReduce(tensor, tensor, new ReduceOp.Sum());
              }
            });
    assertThat(outcomes.get(0).failure())
        .isInstanceOfSatisfying(
            RankLostException.class, lost -> assertThat(lost.lostRank()).isEqualTo(1));
  }
}
