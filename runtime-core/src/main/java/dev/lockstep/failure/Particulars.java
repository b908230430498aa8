package dev.lockstep.failure;

import java.util.List;
import java.util.stream.Stream;

/// What other ranks are to know of a failure beside its sentence. It travels with the failure's
/// record: programs read this, and people the sentence.
public sealed interface Particulars {
  /// The sentence says it all.
  record None() implements Particulars {}

  /// A deadline has passed.
  ///
  /// @param ranks who had not come
  record MissingRanks(List<Integer> ranks) implements Particulars {
    /// Copies the list.
    public MissingRanks {
      ranks = List.copyOf(ranks);
    }
  }

  /// Two ranks ask for different collectives.
  ///
  /// @param communicator where, by its number in the job, or -1 if collectives there have no
  ///   fingerprints
  /// @param first what the rank asks for that noticed
  /// @param second what the other asks for
  record Mismatch(int communicator, Call first, Call second) implements Particulars {}

  /// What a rank asks for.
  ///
  /// @param rank the rank in the job
  /// @param sequence its place among the communicator's collectives, or -1 if it has none yet
  /// @param fingerprint hash that tells it from others of the communicator; 0 if it is not known
  /// @param description what it is and where it is called, for messages
  record Call(int rank, long sequence, long fingerprint, String description) {}

  /// Returns whether all ranks that it names are of a job of so many.
  default boolean isOf(int worldSize) {
    Stream<Integer> named =
        switch (this) {
          case None _ -> Stream.empty();
          case MissingRanks(List<Integer> ranks) -> ranks.stream();
          case Mismatch(_, Call first, Call second) -> Stream.of(first.rank(), second.rank());
        };
    return named.allMatch(rank -> rank >= 0 && rank < worldSize);
  }
}
