package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.CollectiveException;
import dev.lockstep.failure.TransportException;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntUnaryOperator;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What goes wrong on a wire, or with a peer whose memory others use, ends in a typed failure on
/// every rank, never in a result.
@Timeout(60)
final class FaultsTest {
  private static final int RANKS = 3;
  private static final int ROUNDS = 500;

  @ParameterizedTest(name = "{0}, elements={1}")
  @CsvSource({
    "corrupting, 3",
    "corrupting, 5000",
    "corrupting, 300000",
    "dying, 3",
    "dying, 5000",
    "dying-peers, 5000"
  })
  void aBrokenWireEndsInAFailureAndNeverInAResult(String transport, int elements) {
    AtomicInteger right = new AtomicInteger();
    CommunicatorOptions options = SameBitsTest.over(transport).withTimeout(Duration.ofSeconds(20));
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            RANKS,
            options,
            rank -> {
              for (int round = 0; round < ROUNDS; round++) {
                isRight(rank, elements, round);
                right.incrementAndGet();
              }
              return true;
            });
    assertThat(right.get()).as("collectives before the fault").isPositive();
    for (Ranks.Outcome<Boolean> outcome : outcomes) {
      assertThat(outcome.failure()).isInstanceOf(CollectiveException.class);
    }
    if (transport.equals("corrupting")) {
      assertThat(outcomes)
          .as("the rank that got damaged bytes says so")
          .anySatisfy(
              outcome ->
                  assertThat(causeOf(Objects.requireNonNull(outcome.failure())))
                      .isInstanceOf(TransportException.class));
    }
  }

  private static Throwable causeOf(Throwable failure) {
    Throwable last = failure;
    while (last.getCause() != null) {
      last = last.getCause();
    }
    return last;
  }

  /// Runs one collective of five and checks what it gives this rank.
  private static void isRight(Ranks.Rank rank, int elements, int round) {
    int me = rank.number();
    Communicator all = rank.communicator;
    Tensor mine = filled(rank, elements, round);
    Tensor parts = filled(rank, RANKS * elements, round);
    Tensor got = rank.privateTensor(DType.F32, elements);
    Tensor gathered = rank.privateTensor(DType.F32, (long) RANKS * elements);
    switch (round % 5) {
      case 0 -> {
        all.allReduce(mine, got, new ReduceOp.Sum());
        has(got, i -> RANKS * value(0, i, round) + 3);
      }
      case 1 -> {
        all.reduceScatter(parts, got, new ReduceOp.Sum());
        has(got, i -> RANKS * value(0, me * elements + i, round) + 3);
      }
      case 2 -> {
        all.allGather(mine, gathered);
        has(gathered, i -> value(i / elements, i % elements, round));
      }
      case 3 -> {
        all.allToAll(parts, gathered);
        has(gathered, i -> value(i / elements, me * elements + i % elements, round));
      }
      default -> {
        all.broadcast(mine, 2);
        has(mine, i -> value(2, i, round));
      }
    }
  }

  private static int value(int rank, int index, int round) {
    return index % 1000 + rank + round;
  }

  private static Tensor filled(Ranks.Rank rank, int elements, int round) {
    Tensor tensor = rank.privateTensor(DType.F32, elements);
    for (int i = 0; i < elements; i++) {
      tensor.segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, value(rank.number(), i, round));
    }
    return tensor;
  }

  private static void has(Tensor tensor, IntUnaryOperator expected) {
    for (int i = 0; i < tensor.shape().elements(); i++) {
      float value = tensor.segment().getAtIndex(ValueLayout.JAVA_FLOAT, i);
      if (value != expected.applyAsInt(i)) {
        throw new AssertionError(
            "wrong result: index=%d, value=%s, expected=%d"
                .formatted(i, value, expected.applyAsInt(i)));
      }
    }
  }
}
