package dev.lockstep.collective.verify;

/// Ends a verification; never leaves this package.
final class RefusedException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final int rank;
  private final int step;

  RefusedException(int rank, int step, String reason) {
    super(reason, null, false, false);
    this.rank = rank;
    this.step = step;
  }

  Verdict.Refused verdict() {
    return new Verdict.Refused(String.valueOf(getMessage()), rank, step);
  }
}
