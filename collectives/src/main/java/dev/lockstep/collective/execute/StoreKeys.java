package dev.lockstep.collective.execute;

import java.util.List;

/// Under which keys of the job's store the ranks of a communicator tell each other something. Ranks
/// are the job's.
///
/// @param communicator its number
public record StoreKeys(int communicator) {
  /// Returns where a rank says something of its own.
  ///
  /// @param what about what
  public String of(String what, int rank) {
    return all(what) + "/" + rank;
  }

  /// Returns what belongs to all ranks together.
  public String all(String what) {
    return "collective/" + communicator + "/" + what;
  }

  /// Returns where a rank says what it is in and has been in, see [Stands].
  String in(int rank) {
    return of("in", rank);
  }

  /// Returns where a rank says at which place it has come among the collectives.
  String at(int rank) {
    return of("at", rank);
  }

  /// Returns where a rank is told with whom it disagrees.
  String mismatch(int rank) {
    return of("mismatch", rank);
  }

  /// Returns what a rank leaves there that waited for long or was waited for.
  public List<String> ofRank(int rank) {
    return List.of(in(rank), at(rank), mismatch(rank));
  }
}
