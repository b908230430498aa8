package dev.lockstep.collective.execute;

import dev.lockstep.failure.CollectiveMismatchException;
import dev.lockstep.job.FailureRecord;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// Two ranks that ask for different collectives, as the sentence of a failure that every rank gets
/// to read: a third rank learns from it which of the two does not do what it does itself.
///
/// @param rank who noticed
/// @param mine what it asks for, and where
/// @param peer the other
/// @param theirs what that asks for, and where
public record Disagreement(int rank, String mine, int peer, String theirs) {
  private static final String KIND = CollectiveMismatchException.class.getSimpleName();
  private static final Pattern WHERE = Pattern.compile(" at sequence \\d+|, called at .*");
  private static final Pattern SENTENCE =
      Pattern.compile("ranks \\S+ different collectives: rank (\\d+) (.*), rank (\\d+) (.*) \\(.*");

  /// Returns the failure of the rank that noticed.
  ///
  /// @param verb what the ranks do: `call` or `prepare`
  /// @param op kind of its collective
  public CollectiveMismatchException failure(
      String verb, String op, long sequence, @Nullable Throwable cause) {
    return new CollectiveMismatchException(
        op,
        rank,
        sequence,
        peer,
        mine,
        theirs,
        "ranks %s different collectives: rank %d %s, rank %d %s (call the same ones in the same order on every rank)"
            .formatted(verb, rank, mine, peer, theirs),
        cause);
  }

  /// Returns what another rank's mismatch means for this one; empty if the job failed otherwise, or
  /// this rank itself noticed.
  ///
  /// @param mine what this rank asks for, and where
  public static Optional<Disagreement> of(FailureRecord record, int rank, String mine) {
    if (!record.kind().equals(KIND) || record.rank() == rank) {
      return Optional.empty();
    }
    Matcher sentence = SENTENCE.matcher(record.message());
    if (!sentence.matches()) {
      return Optional.of(new Disagreement(rank, mine, record.rank(), record.activity()));
    }
    int peer = Integer.parseInt(sentence.group(3));
    boolean noticedForUs = peer != rank && what(sentence.group(2)).equals(what(mine));
    return Optional.of(
        noticedForUs
            ? new Disagreement(rank, mine, peer, sentence.group(4))
            : new Disagreement(rank, mine, record.rank(), sentence.group(2)));
  }

  /// Returns what a rank asks for, without where.
  private static String what(String description) {
    return WHERE.matcher(description).replaceAll("");
  }
}
