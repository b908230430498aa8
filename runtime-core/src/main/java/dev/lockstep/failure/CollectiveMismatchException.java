package dev.lockstep.failure;

import org.jspecify.annotations.Nullable;

/// Ranks disagree about which collective this is. A programmer's error on one of them: exit and
/// compare the two call sites.
public final class CollectiveMismatchException extends CollectiveException {
  private static final long serialVersionUID = 1L;

  private final int peer;
  private final String mine;
  private final String theirs;

  /// Makes the failure; the arguments come back from the accessors.
  public CollectiveMismatchException(
      String op,
      int rank,
      long sequence,
      int peer,
      String mine,
      String theirs,
      String message,
      @Nullable Throwable cause) {
    super(op, rank, sequence, message, cause);
    this.peer = peer;
    this.mine = mine;
    this.theirs = theirs;
  }

  /// Returns the peer that disagrees.
  public int peer() {
    return peer;
  }

  /// Returns the fingerprint of the rank that reports, in words.
  public String mine() {
    return mine;
  }

  /// Returns the fingerprint of the peer, in words.
  public String theirs() {
    return theirs;
  }
}
