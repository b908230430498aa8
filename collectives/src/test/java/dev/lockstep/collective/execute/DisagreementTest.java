package dev.lockstep.collective.execute;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.Particulars.Call;
import dev.lockstep.failure.Particulars.Mismatch;
import dev.lockstep.job.FailureRecord;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
final class DisagreementTest {
  private static final int WORLD = 0;

  /// Rank 0 noticed, at sequence 4, that rank 1 asks for something else.
  private static final Call NOTICED = new Call(0, 4, 77, "what rank 0 does");

  private static final Call OTHER = new Call(1, 4, 88, "what rank 1 does");
  private static final Mismatch TOLD = new Mismatch(WORLD, NOTICED, OTHER);

  private static Call third(long sequence, long fingerprint) {
    return new Call(2, sequence, fingerprint, "what rank 2 does");
  }

  private static Mismatch heard(Call mine) {
    return Disagreement.heard(TOLD, WORLD, mine, Stands.none());
  }

  @Test
  void whoDoesAsTheOneThatNoticedDisagreesWithTheOther() {
    assertThat(heard(third(4, 77))).isEqualTo(new Mismatch(WORLD, third(4, 77), OTHER));
  }

  @Test
  void whoDoesNotDisagreesWithTheOneThatNoticed() {
    assertThat(heard(third(4, 88))).isEqualTo(new Mismatch(WORLD, third(4, 88), NOTICED));
    Call told = new Call(1, 4, 88, "what rank 1 does");
    assertThat(heard(told)).isEqualTo(new Mismatch(WORLD, told, NOTICED));
  }

  @Test
  void whoHasGoneOnComparesWhatItDidThere() {
    Stands past = Stands.none().with(4, 77, "before").with(5, 88, "next");
    assertThat(Disagreement.heard(TOLD, WORLD, third(6, 88), past))
        .isEqualTo(new Mismatch(WORLD, new Call(2, 4, 77, "before"), OTHER));
  }

  @Test
  void whoHasNotComeThatFarHearsOfTheTwo() {
    assertThat(heard(third(3, 88))).isEqualTo(TOLD);
  }

  @Test
  void whoIsInAnotherCommunicatorHearsOfTheTwo() {
    assertThat(Disagreement.heard(TOLD, WORLD + 1, third(4, 88), Stands.none())).isEqualTo(TOLD);
  }

  @Test
  void theSentenceSaysWhatTheDataDo() {
    var failure = Disagreement.failure(TOLD, "call", "barrier", 2, 3, null);
    assertThat(failure)
        .hasMessageContaining("rank 0 what rank 0 does, rank 1 what rank 1 does (")
        .hasNoCause();
    FailureRecord record = FailureRecord.of(0, "host", failure, "");
    for (int rank : List.of(1, 2)) {
      assertThat(Disagreement.of(record, rank)).contains(TOLD);
    }
    assertThat(Disagreement.of(record, 0)).isEmpty();
    var other = FailureRecord.of(0, "host", new IllegalStateException(failure.getMessage()), "");
    assertThat(Disagreement.of(other, 1)).isEmpty();
  }
}
