package dev.lockstep.collective.execute;

import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.failure.CollectiveException;
import dev.lockstep.failure.Particulars;
import dev.lockstep.failure.RankLostException;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.JobFailedException;
import java.util.List;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/// How a collective of one rank ends that cannot go on.
///
/// @param op kind of the collective
/// @param what the collective, for messages
/// @param rank this rank in the job
/// @param sequence its place in the communicator
public record Ending(String op, String what, int rank, long sequence) {
  /// Returns what the job's failure means, of ranks that do not disagree.
  ///
  /// @param told that the job has failed
  /// @param late makes the failure where ranks were missing elsewhere, of those ranks
  public CollectiveException of(
      JobFailedException told, Function<List<Integer>, ? extends CollectiveException> late) {
    FailureRecord record = told.failure();
    if (record.particulars() instanceof Particulars.MissingRanks(List<Integer> missing)) {
      return late.apply(missing);
    }
    return record.rank() == rank || record.rank() < 0
        ? aborted(told)
        : lost(record.rank(), record.kind() + ", " + record.message(), told);
  }

  CollectiveAbortedException aborted(Throwable reason) {
    return new CollectiveAbortedException(
        op,
        rank,
        sequence,
        "collective was ended: op=%s, rank=%d, reason=%s".formatted(what, rank, reason),
        reason);
  }

  RankLostException lost(int lostRank, String how, @Nullable Throwable cause) {
    return new RankLostException(
        op,
        rank,
        sequence,
        lostRank,
        "rank was lost: lostRank=%d, op=%s, rank=%d, how=%s".formatted(lostRank, what, rank, how),
        cause);
  }
}
