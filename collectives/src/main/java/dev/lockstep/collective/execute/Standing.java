package dev.lockstep.collective.execute;

import dev.lockstep.failure.Particulars.Call;
import dev.lockstep.failure.Particulars.Mismatch;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobFailedException;
import java.util.Optional;
import java.util.function.LongSupplier;

/// Where a rank stands among its communicator's collectives, as it tells the others through the
/// job's store. Thread-safe.
public final class Standing {
  private final Job job;
  private final Endpoint endpoint;
  private final Past past;
  private final LongSupplier nextSequence;
  private final StoreKeys keys;

  Standing(Job job, Endpoint endpoint, Past past, LongSupplier nextSequence) {
    this.job = job;
    this.endpoint = endpoint;
    this.past = past;
    this.nextSequence = nextSequence;
    this.keys = new StoreKeys(endpoint.communicator());
  }

  /// Tells the other ranks what this one calls next, before it has anything to start: those that
  /// wait in another collective at this place look for that.
  ///
  /// @param fingerprint hash of the collective
  /// @param words the request, for messages
  /// @param site where it is called, or empty
  public void announce(long fingerprint, String words, String site) {
    long sequence = nextSequence.getAsLong();
    tell(past.stands().with(sequence, fingerprint, Asked.describe(words, sequence, site)));
  }

  /// Tells the other ranks which collectives this one is through with, before it waits for
  /// something else: one of them may wait in another collective at the same place.
  public void announcePast() {
    if (endpoint.ranks() > 1) {
      tellUnlessFailed(past.stands());
    }
  }

  /// Tells the other ranks that this one calls nothing more, before it waits for them to say so
  /// too: one of them may wait in a collective that this rank never comes to.
  public void announceClosing() {
    tellUnlessFailed(past.stands().withClosing(nextSequence.getAsLong()));
  }

  private void tellUnlessFailed(Stands mine) {
    try {
      tell(mine);
    } catch (JobFailedException _) {
      // What this rank waits for next ends with it.
    }
  }

  /// Returns what the job's failure says of two ranks that disagree; empty if it failed otherwise.
  ///
  /// @param fingerprint hash of what this rank is about
  /// @param description what that is, and where
  public Optional<Mismatch> disagreement(
      FailureRecord record, long fingerprint, String description) {
    return disagreement(
        record, new Call(endpoint.jobRank(), nextSequence.getAsLong(), fingerprint, description));
  }

  Optional<Mismatch> disagreement(FailureRecord record, Call mine) {
    return Disagreement.of(record, mine.rank())
        .map(told -> Disagreement.heard(told, endpoint.communicator(), mine, past.stands()));
  }

  /// Tells the other ranks that this one is in an operation.
  void announce(Operation operation) {
    tell(in(operation));
  }

  /// Returns what a rank says that is in an operation.
  Stands in(Operation operation) {
    return past.stands()
        .with(operation.sequence(), operation.program().fingerprint(), operation.description());
  }

  /// Returns what another rank has said last.
  ///
  /// @param jobRank its number in the job
  Optional<Stands> of(int jobRank) {
    return job.store().peek(keys.in(jobRank)).map(Stands::decode);
  }

  private void tell(Stands mine) {
    job.store().set(keys.in(endpoint.jobRank()), mine.encode());
  }
}
