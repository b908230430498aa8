package dev.lockstep.failure;

import org.jspecify.annotations.Nullable;

/// A collective did not complete. Every rank of the communicator gets one; the communicator must
/// not be used again.
public class CollectiveException extends LockstepException {
  private static final long serialVersionUID = 1L;

  private final String op;
  private final int rank;
  private final long sequence;

  /// Makes the failure; the arguments come back from the accessors.
  protected CollectiveException(
      String op, int rank, long sequence, String message, @Nullable Throwable cause) {
    super(message, cause);
    this.op = op;
    this.rank = rank;
    this.sequence = sequence;
  }

  /// Returns the collective, for example `all_reduce`.
  public String op() {
    return op;
  }

  /// Returns the rank that reports.
  public int rank() {
    return rank;
  }

  /// Returns the position of the collective in its communicator, from 0.
  public long sequence() {
    return sequence;
  }
}
