package dev.lockstep.failure;

import org.jspecify.annotations.Nullable;

/// A collective ended, or did not begin, because its communicator had been aborted or had failed
/// before. The cause says why; close the job and join a new one, or exit.
public final class CollectiveAbortedException extends CollectiveException {
  private static final long serialVersionUID = 1L;

  /// Makes the failure; the arguments come back from the accessors.
  public CollectiveAbortedException(
      String op, int rank, long sequence, String message, @Nullable Throwable cause) {
    super(op, rank, sequence, message, cause);
  }
}
