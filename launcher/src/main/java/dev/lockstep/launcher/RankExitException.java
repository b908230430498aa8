package dev.lockstep.launcher;

import dev.lockstep.failure.LockstepException;

/// A rank's work returned an exit code other than 0. It has no stack worth showing.
final class RankExitException extends LockstepException {
  private static final long serialVersionUID = 1L;

  RankExitException(int rank, int code) {
    super("work ended with an exit code: rank=%d, exitCode=%d".formatted(rank, code));
    setStackTrace(new StackTraceElement[0]);
  }
}
