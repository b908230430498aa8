package dev.lockstep.job;

import dev.lockstep.failure.LockstepException;

/// The job has failed, so what was waited for cannot happen any more. Form a new job or exit; the
/// record names the first failure, wherever it was.
public final class JobFailedException extends LockstepException {
  private static final long serialVersionUID = 1L;

  private final transient FailureRecord failure;

  /// Makes the failure of one operation.
  ///
  /// @param operation what this rank was waiting for
  /// @param failure the job's first failure
  public JobFailedException(String operation, FailureRecord failure) {
    super(
        "job has failed: waitingFor=%s, failedRank=%d, host=%s, kind=%s, activity=%s, reason=%s"
            .formatted(
                operation,
                failure.rank(),
                failure.host(),
                failure.kind(),
                failure.activity().isEmpty() ? "unknown" : failure.activity(),
                failure.message()));
    this.failure = failure;
  }

  /// Returns the job's first failure.
  public FailureRecord failure() {
    return failure;
  }
}
