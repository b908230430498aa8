package dev.lockstep.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.PreparedCollective;
import dev.lockstep.collective.Work;
import dev.lockstep.collective.schedule.Schedule;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class WarmUpTest {
  private final AtomicInteger trials = new AtomicInteger();

  private int trialsWith(WarmUp warmUp) {
    trials.set(0);
    warmUp.run(List.of(new Nothing()), (_, _) -> trials.incrementAndGet());
    return trials.get();
  }

  private static WarmUp asked(OptionalInt operations) {
    return new WarmUp(operations, _ -> {});
  }

  @Test
  void runsExactlyAsManyAsAreAskedForWhereThatIsFew() {
    WarmUp warmUp = asked(OptionalInt.of(7));
    assertThat(trialsWith(warmUp)).isEqualTo(7);
    assertThat(trialsWith(warmUp)).isEqualTo(7);
  }

  @Test
  void whoAsksForManyGetsAsManyAndThenMoreUntilTheyAreNotFaster() {
    WarmUp warmUp = asked(OptionalInt.of(1000));
    assertThat(trialsWith(warmUp)).as("before the first size").isGreaterThan(21_000);
    assertThat(trialsWith(warmUp)).as("before the others").isGreaterThan(1000);
  }

  /// An operation that does nothing.
  static final class Nothing implements PreparedCollective {
    @Override
    public Work start() {
      throw new UnsupportedOperationException();
    }

    @Override
    public void run() {}

    @Override
    public Schedule schedule() {
      throw new UnsupportedOperationException();
    }

    @Override
    public OptionalDouble predictedNanos() {
      return OptionalDouble.empty();
    }

    @Override
    public void close() {}
  }
}
