package dev.lockstep.collective.execute;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.failure.CollectiveException;
import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.Particulars;
import dev.lockstep.failure.RankLostException;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.JobFailedException;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What the job's failure means for a collective of rank 2.
final class EndingTest {
  private static final Ending ENDING = new Ending("all_reduce", "all_reduce#7", 2, 7);

  private static CollectiveException of(int rank, Particulars particulars) {
    JobFailedException told =
        new JobFailedException(
            "all_reduce#7",
            new FailureRecord(rank, "host", "Kind", "what is wrong", "", "", 0, particulars));
    return ENDING.of(
        told,
        missing -> new CollectiveTimeoutException("all_reduce", 2, 7, 1, 1, missing, "late", told));
  }

  @ParameterizedTest(name = "failed rank {0}")
  @CsvSource({"0", "1", "3"})
  void anotherRankThatFailedIsLost(int rank) {
    assertThat(of(rank, new Particulars.None()))
        .isInstanceOfSatisfying(
            RankLostException.class, lost -> assertThat(lost.lostRank()).isEqualTo(rank))
        .hasMessageContaining("Kind, what is wrong");
  }

  @ParameterizedTest(name = "failed rank {0}")
  @CsvSource({"-1", "2"})
  void noRankIsLostWhereTheAgentOrThisRankFailed(int rank) {
    assertThat(of(rank, new Particulars.None()))
        .isInstanceOf(CollectiveAbortedException.class)
        .hasMessageContaining("op=all_reduce#7, rank=2")
        .hasMessageContaining("what is wrong");
  }

  @Test
  void ranksThatAreMissingElsewhereAreMissingHere() {
    assertThat(of(1, new Particulars.MissingRanks(List.of(0, 3))))
        .isInstanceOfSatisfying(
            CollectiveTimeoutException.class,
            late -> assertThat(late.missingRanks()).containsExactly(0, 3));
  }
}
