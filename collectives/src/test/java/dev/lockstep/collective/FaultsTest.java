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
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What goes wrong on a wire ends in a typed failure on every rank, never in a result.
@Timeout(60)
final class FaultsTest {
  private static final int ROUNDS = 500;

  @ParameterizedTest(name = "{0}, elements={1}")
  @CsvSource({"corrupting, 3", "corrupting, 5000", "corrupting, 300000", "dying, 3", "dying, 5000"})
  void aBrokenWireEndsInAFailureAndNeverInAResult(String transport, int elements) {
    AtomicInteger right = new AtomicInteger();
    CommunicatorOptions options = SameBitsTest.over(transport).withTimeout(Duration.ofSeconds(20));
    List<Ranks.Outcome<Boolean>> outcomes =
        Ranks.outcomes(
            3,
            options,
            rank -> {
              for (int round = 0; round < ROUNDS; round++) {
                sumIsRight(rank, elements, round);
                right.incrementAndGet();
              }
              return true;
            });
    assertThat(right.get()).as("sums before the fault").isPositive();
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

  private static void sumIsRight(Ranks.Rank rank, int elements, int round) {
    Tensor in = rank.privateTensor(DType.F32, elements);
    Tensor out = rank.privateTensor(DType.F32, elements);
    for (int i = 0; i < elements; i++) {
      in.segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, i % 1000 + rank.number() + round);
    }
    rank.communicator.allReduce(in, out, new ReduceOp.Sum());
    for (int i = 0; i < elements; i++) {
      float sum = out.segment().getAtIndex(ValueLayout.JAVA_FLOAT, i);
      if (sum != 3 * (i % 1000 + round) + 3) {
        throw new AssertionError("wrong sum: round=%d, index=%d".formatted(round, i));
      }
    }
  }
}
