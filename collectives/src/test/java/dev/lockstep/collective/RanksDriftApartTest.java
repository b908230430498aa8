package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Partners;
import dev.lockstep.deadline.MachineLoad;
import dev.lockstep.failure.CollectiveMismatchException;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Ranks that nobody waits for go on. They learn all the same that they disagree with one behind
/// them, and so does that one, long before its deadline.
@Timeout(60)
final class RanksDriftApartTest {
  private static final Duration SOON = Duration.ofSeconds(10);

  /// Patterns of which ranks have tried both, and which share no pair.
  private static final List<Integer> FIRST_TO_SECOND = List.of(1, -1, -1, -1);

  private static final List<Integer> THIRD_TO_FOURTH = List.of(-1, -1, 3, -1);

  /// What those do that have gone on.
  enum Then {
    CALL,
    PREPARE,
    SPLIT;

    void run(Ranks.Rank rank) {
      Communicator all = rank.communicator;
      switch (this) {
        case CALL -> all.barrier();
        case PREPARE -> {
          CollectiveRequest barrier = CollectiveRequest.barrier(all.topology());
          all.prepare(barrier, List.of(), null).run();
        }
        case SPLIT -> all.split(0, 0).orElseThrow().close();
      }
    }
  }

  private static void send(Ranks.Rank rank, List<Integer> destinations) {
    Tensor in = rank.privateTensor(DType.F32, 6);
    Tensor out = rank.privateTensor(DType.F32, 6);
    rank.communicator.sendReceive(in, out, destinations);
  }

  private static CollectiveMismatchException mismatch(Ranks.Outcome<?> outcome) {
    return assertInstanceOf(CollectiveMismatchException.class, outcome.failure());
  }

  /// Rank 1 waits for rank 0 where the others take it for the turn of ranks 2 and 3.
  private static void mixUpPatterns(Ranks.Rank rank) {
    send(rank, FIRST_TO_SECOND);
    send(rank, THIRD_TO_FOURTH);
    send(rank, rank.number() == 1 ? FIRST_TO_SECOND : THIRD_TO_FOURTH);
  }

  private static void isOver(long start) {
    assertThat(Duration.ofNanos(System.nanoTime() - start)).as(MachineLoad::now).isLessThan(SOON);
  }

  @ParameterizedTest(name = "{0}, {1}")
  @CsvSource({"CALL, shm", "CALL, messages-only", "PREPARE, messages-only"})
  void whoWaitsInAPatternOfItsOwnAndWhoHasGoneOnLearnOfEachOther(Then then, String transport) {
    long start = System.nanoTime();
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            4,
            SameBitsTest.over(transport),
            rank -> {
              mixUpPatterns(rank);
              then.run(rank);
              return true;
            });
    for (int rank = 0; rank < outcomes.size(); rank++) {
      CollectiveMismatchException mismatch = mismatch(outcomes.get(rank));
      String first = "to=[1, -1, -1, -1])";
      String third = "to=[-1, -1, 3, -1])";
      assertThat(mismatch.mine())
          .as("rank %d", rank)
          .contains(rank == 1 ? first : third, "at sequence 2");
      assertThat(mismatch.theirs())
          .as("rank %d", rank)
          .contains(rank == 1 ? third : first, "at sequence 2");
      if (rank != 1) {
        assertThat(mismatch.peer()).isEqualTo(1);
      }
    }
    isOver(start);
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"shm", "messages-only"})
  void whoWaitsLearnsThatTheOthersHaveClosed(String transport) {
    long start = System.nanoTime();
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            4,
            SameBitsTest.over(transport),
            rank -> {
              mixUpPatterns(rank);
              return true;
            });
    assertThat(mismatch(outcomes.get(1)).theirs()).contains("to=[-1, -1, 3, -1])");
    isOver(start);
  }

  /// Both have sent and are through; only in the next collective do they find what they got.
  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"shm", "messages-only"})
  void theDisagreementIsNamedNotWhereItShows(String transport) {
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            2,
            SameBitsTest.over(transport),
            rank -> {
              send(rank, List.of(1, -1));
              send(rank, List.of(-1, 0));
              rank.communicator.barrier();
              send(rank, rank.number() == 0 ? List.of(1, -1) : List.of(-1, 0));
              send(rank, List.of(1, 0));
              return true;
            });
    assertThat(mismatch(outcomes.get(0)).mine()).contains("to=[1, -1])", "at sequence 3");
    assertThat(mismatch(outcomes.get(0)).theirs()).contains("to=[-1, 0])", "at sequence 3");
    assertThat(mismatch(outcomes.get(1)).mine()).contains("to=[-1, 0])", "at sequence 3");
    assertThat(mismatch(outcomes.get(1)).theirs()).contains("to=[1, -1])", "at sequence 3");
  }

  @Test
  void whoIsStillBeforeItHearsOfTheTwoThatDisagree() {
    CountDownLatch prepared = new CountDownLatch(4);
    CountDownLatch ended = new CountDownLatch(1);
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            4,
            SameBitsTest.over("messages-only"),
            rank -> {
              PreparedCollective late = pattern(rank, 6, List.of(-1, -1, -1, 1));
              PreparedCollective shorter = pattern(rank, 6, List.of(2, -1, 0, -1));
              PreparedCollective longer = pattern(rank, 7, List.of(2, -1, 0, -1));
              prepared.countDown();
              comes(prepared);
              if (rank.number() == 3) {
                comes(ended); // what it sends would let rank 1 go on
              }
              try {
                late.run();
              } finally {
                if (rank.number() == 1) {
                  ended.countDown();
                }
              }
              (rank.number() == 2 ? longer : shorter).run();
              return true;
            });
    CollectiveMismatchException told = mismatch(outcomes.get(1));
    assertThat(told.rank()).isEqualTo(1);
    assertThat(told.sequence()).isZero();
    assertThat(told)
        .hasMessageContaining("rank 0 sendrecv(dtype=f32, elements=6,")
        .hasMessageContaining("rank 2 sendrecv(dtype=f32, elements=7,")
        .hasMessageNotContaining("at sequence 0");
  }

  private static void comes(CountDownLatch latch) throws InterruptedException {
    assertThat(latch.await(SOON.toSeconds(), TimeUnit.SECONDS)).isTrue();
  }

  private static PreparedCollective pattern(
      Ranks.Rank rank, long elements, List<Integer> destinations) {
    Communicator all = rank.communicator;
    CollectiveRequest request =
        CollectiveRequest.sendReceive(
            DType.F32, elements, Partners.of(destinations), false, all.topology());
    int me = all.rank();
    Tensor out = request.outputElements(me) == 0 ? null : rank.sharedTensor(DType.F32, elements);
    List<Tensor> in =
        request.inputs(me) == 0 ? List.of() : List.of(rank.sharedTensor(DType.F32, elements));
    return all.prepare(request, in, out);
  }
}
