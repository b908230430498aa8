package dev.lockstep.collective.execute;

import dev.lockstep.failure.CollectiveMismatchException;
import dev.lockstep.job.FailureRecord;
import java.util.Optional;
import java.util.OptionalLong;
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
  private static final Pattern SEQUENCE = Pattern.compile(" at sequence (\\d+)");
  private static final Pattern SENTENCE =
      Pattern.compile("ranks \\S+ different collectives: rank (\\d+) (.*), rank (\\d+) (.*) \\(.*");

  /// Returns the failure of a rank that has noticed or been told.
  ///
  /// @param verb what the ranks do: `call` or `prepare`
  /// @param op kind of the collective that ends with it
  /// @param at the rank where that ends
  public CollectiveMismatchException failure(
      String verb, String op, int at, long sequence, @Nullable Throwable cause) {
    return new CollectiveMismatchException(
        op,
        at,
        sequence,
        peer,
        mine,
        theirs,
        "ranks %s different collectives: rank %d %s, rank %d %s (call the same ones in the same order on every rank)"
            .formatted(verb, rank, mine, peer, theirs),
        cause);
  }

  /// Returns what another rank's mismatch means for this one; empty if the job failed otherwise, or
  /// this rank itself noticed. A rank that has not come to where the two disagree hears of these.
  ///
  /// @param now what this rank asks for, and where
  /// @param here the sequence of that
  /// @param past what it asked for before
  static Optional<Disagreement> of(
      FailureRecord record, int rank, String now, long here, Stands past) {
    if (!record.kind().equals(KIND) || record.rank() == rank) {
      return Optional.empty();
    }
    Matcher sentence = SENTENCE.matcher(record.message());
    if (!sentence.matches()) {
      return Optional.of(new Disagreement(rank, now, record.rank(), record.activity()));
    }
    String first = sentence.group(2);
    int peer = Integer.parseInt(sentence.group(3));
    String second = sentence.group(4);
    OptionalLong where = sequence(first);
    if (where.isPresent() && here < where.getAsLong()) {
      return Optional.of(new Disagreement(record.rank(), first, peer, second));
    }
    String mine = where.isPresent() ? past.at(where.getAsLong()).orElse(now) : now;
    boolean noticedForUs = peer != rank && what(first).equals(what(mine));
    return Optional.of(
        noticedForUs
            ? new Disagreement(rank, mine, peer, second)
            : new Disagreement(rank, mine, record.rank(), first));
  }

  private static OptionalLong sequence(String description) {
    Matcher found = SEQUENCE.matcher(description);
    return found.find() ? OptionalLong.of(Long.parseLong(found.group(1))) : OptionalLong.empty();
  }

  /// Returns what a rank asks for, without where.
  private static String what(String description) {
    return WHERE.matcher(description).replaceAll("");
  }
}
