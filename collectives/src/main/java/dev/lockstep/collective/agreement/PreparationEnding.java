package dev.lockstep.collective.agreement;

import dev.lockstep.collective.execute.Disagreement;
import dev.lockstep.collective.execute.Ending;
import dev.lockstep.collective.execute.Endpoint;
import dev.lockstep.collective.execute.Progress;
import dev.lockstep.failure.CollectiveException;
import dev.lockstep.failure.CollectiveMismatchException;
import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.failure.Particulars.Call;
import dev.lockstep.failure.Particulars.Mismatch;
import dev.lockstep.failure.TransportException;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.JobFailedException;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/// How it ends on a rank that ranks prepare a collective together, where they do not come to it.
public final class PreparationEnding {
  /// What this rank prepares.
  ///
  /// @param op kind of the collective
  /// @param mine what it tells the others
  /// @param deadline by when all must have come
  /// @param start when its clock started
  public record Attempt(String op, Offer mine, Duration deadline, long start) {}

  private final Endpoint endpoint;
  private final Progress progress;
  private final int rank; // in the job

  /// Makes the endings of one rank of a communicator.
  public PreparationEnding(Endpoint endpoint, Progress progress) {
    this.endpoint = endpoint;
    this.progress = progress;
    this.rank = endpoint.jobRank();
  }

  /// Returns what the job's failure means for who prepares.
  public CollectiveException ofFailure(Attempt attempt, JobFailedException failed) {
    FailureRecord record = failed.failure();
    Offer mine = attempt.mine();
    Optional<Mismatch> mismatch =
        progress.standing().disagreement(record, mine.fingerprint(), mine.description());
    if (mismatch.isPresent()) {
      return mismatched(attempt, mismatch.get());
    }
    if (record.rank() == rank) {
      progress.checkUsable(attempt.op());
    }
    return new Ending(attempt.op(), mine.words(), rank, progress.nextSequence())
        .of(failed, missing -> late(attempt, endpoint.members().others(missing), failed));
  }

  /// Returns what it means that a peer's memory or link is gone: what the job's failure does, if
  /// there is one by now or within a moment.
  public LockstepException ofBroken(Attempt attempt, TransportException broken) {
    Optional<FailureRecord> word = progress.awaitWord();
    if (word.isEmpty()) {
      return broken;
    }
    CollectiveException end = ofFailure(attempt, new JobFailedException(attempt.op(), word.get()));
    end.addSuppressed(broken);
    return end;
  }

  /// Returns the failure of who has waited in vain.
  public CollectiveTimeoutException late(
      Attempt attempt, List<Integer> missing, LockstepException cause) {
    long elapsed = System.nanoTime() - attempt.start();
    return new CollectiveTimeoutException(
        attempt.op(),
        rank,
        progress.nextSequence(),
        elapsed,
        attempt.deadline().toNanos(),
        missing,
        "collective timed out before all ranks had prepared it: op=%s, rank=%d, waitedMillis=%d, timeoutMillis=%d, missingRanks=%s (call the same in the same order on every rank)"
            .formatted(
                attempt.mine().words(),
                rank,
                TimeUnit.NANOSECONDS.toMillis(elapsed),
                attempt.deadline().toMillis(),
                missing),
        cause);
  }

  /// Returns the failure of who finds that another member offers something else.
  public CollectiveMismatchException mismatched(Attempt attempt, int peer, Offer theirs) {
    return mismatched(
        attempt,
        new Mismatch(
            endpoint.communicator(),
            call(rank, attempt.mine()),
            call(endpoint.members().jobRank(peer), theirs)));
  }

  private CollectiveMismatchException mismatched(Attempt attempt, Mismatch between) {
    return Disagreement.failure(
        between, "prepare", attempt.op(), rank, progress.nextSequence(), null);
  }

  /// Returns what a rank prepares; it has no place among the collectives yet.
  private static Call call(int rank, Offer offer) {
    return new Call(rank, -1, offer.fingerprint(), offer.description());
  }
}
