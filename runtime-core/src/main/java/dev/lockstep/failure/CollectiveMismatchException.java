package dev.lockstep.failure;

import org.jspecify.annotations.Nullable;

/// Ranks disagree about which collective this is. A programmer's error on one of them: exit and
/// compare the two call sites.
public final class CollectiveMismatchException extends CollectiveException {
  private static final long serialVersionUID = 1L;

  private final transient Particulars.Mismatch between;

  /// Makes the failure; the arguments come back from the accessors.
  ///
  /// @param between who asks for what: the first is the rank that reports, unless it has not come
  ///   that far and hears of two others
  public CollectiveMismatchException(
      String op,
      int rank,
      long sequence,
      Particulars.Mismatch between,
      String message,
      @Nullable Throwable cause) {
    super(op, rank, sequence, message, cause);
    this.between = between;
  }

  /// Returns the peer that disagrees.
  public int peer() {
    return between.second().rank();
  }

  /// Returns what the rank asks for that reports, in words.
  public String mine() {
    return between.first().description();
  }

  /// Returns what the peer asks for, in words.
  public String theirs() {
    return between.second().description();
  }

  @Override
  public Particulars particulars() {
    return between;
  }
}
