package dev.lockstep.failure;

import org.jspecify.annotations.Nullable;

/// A rank of the job is gone: its process died, its link broke or its heart stopped. The job has
/// failed: close it and join a new one, or exit.
public final class RankLostException extends CollectiveException {
  private static final long serialVersionUID = 1L;

  private final int lostRank;

  /// Makes the failure; the arguments come back from the accessors.
  public RankLostException(
      String op, int rank, long sequence, int lostRank, String message, @Nullable Throwable cause) {
    super(op, rank, sequence, message, cause);
    this.lostRank = lostRank;
  }

  /// Returns the rank that was lost.
  public int lostRank() {
    return lostRank;
  }
}
