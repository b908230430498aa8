package dev.lockstep.failure;

import java.util.List;
import org.jspecify.annotations.Nullable;

/// A collective passed its deadline, and with it the job has failed: close it and join a new one,
/// or exit. The missing ranks say where to look.
public final class CollectiveTimeoutException extends CollectiveException {
  private static final long serialVersionUID = 1L;

  private final long elapsedNanos;
  private final long timeoutNanos;
  private final transient List<Integer> missingRanks;

  /// Makes the failure; the arguments come back from the accessors.
  public CollectiveTimeoutException(
      String op,
      int rank,
      long sequence,
      long elapsedNanos,
      long timeoutNanos,
      List<Integer> missingRanks,
      String message,
      @Nullable Throwable cause) {
    super(op, rank, sequence, message, cause);
    this.elapsedNanos = elapsedNanos;
    this.timeoutNanos = timeoutNanos;
    this.missingRanks = List.copyOf(missingRanks);
  }

  /// Returns how long the caller waited, in nanoseconds.
  public long elapsedNanos() {
    return elapsedNanos;
  }

  /// Returns the deadline it had, in nanoseconds.
  public long timeoutNanos() {
    return timeoutNanos;
  }

  /// Returns the ranks that had not taken part.
  public List<Integer> missingRanks() {
    return missingRanks;
  }

  @Override
  public Particulars particulars() {
    return new Particulars.MissingRanks(missingRanks);
  }
}
