package dev.lockstep.job;

import java.util.Optional;

/// Where a rank has the job's token from.
interface TokenSource {
  /// Returns the token, or empty if it is not there yet.
  Optional<Bytes> read();

  /// Whether a token that the store refuses may be a leftover of an earlier job, to be read anew.
  boolean mayBeStale();

  /// Returns the token with which rank 0 hosts the store.
  Bytes make();

  /// Lets the other ranks read what rank 0 has made.
  void publish(Bytes made);

  /// Removes what was published.
  void remove();
}
