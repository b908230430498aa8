package dev.lockstep.collective.execute;

import dev.lockstep.failure.CollectiveMismatchException;
import dev.lockstep.failure.Particulars.Call;
import dev.lockstep.failure.Particulars.Mismatch;
import dev.lockstep.job.FailureRecord;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// What it means to a rank that two ask for different collectives, of which every rank hears by the
/// job's failure: a third one learns which of the two does not do what it does itself.
public final class Disagreement {
  private Disagreement() {}

  /// Returns the failure of a rank that has noticed or been told.
  ///
  /// @param verb what the ranks do: `call` or `prepare`
  /// @param op kind of the collective that ends with it
  /// @param at the rank where that ends
  public static CollectiveMismatchException failure(
      Mismatch between, String verb, String op, int at, long sequence, @Nullable Throwable cause) {
    Call first = between.first();
    Call second = between.second();
    return new CollectiveMismatchException(
        op,
        at,
        sequence,
        between,
        "ranks %s different collectives: rank %d %s, rank %d %s (call the same ones in the same order on every rank)"
            .formatted(
                verb, first.rank(), first.description(), second.rank(), second.description()),
        cause);
  }

  /// Returns of which mismatch another rank tells; empty if the job failed otherwise, or this rank
  /// itself noticed.
  static Optional<Mismatch> of(FailureRecord record, int rank) {
    return record.particulars() instanceof Mismatch told && told.first().rank() != rank
        ? Optional.of(told)
        : Optional.empty();
  }

  /// Returns what another rank's mismatch means for this one. A rank that has not come to where the
  /// two disagree, or is in another communicator, hears of these.
  ///
  /// @param communicator the one that this rank is in
  /// @param now what this rank asks for
  /// @param past what it asked for before
  static Mismatch heard(Mismatch told, int communicator, Call now, Stands past) {
    Call first = told.first();
    if (told.communicator() != communicator || now.sequence() < first.sequence()) {
      return told;
    }
    Call mine = past.at(first.sequence(), now.rank()).orElse(now);
    boolean noticedForUs =
        told.second().rank() != now.rank() && first.fingerprint() == mine.fingerprint();
    return new Mismatch(communicator, mine, noticedForUs ? told.second() : first);
  }
}
