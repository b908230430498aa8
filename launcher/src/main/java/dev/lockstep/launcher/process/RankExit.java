package dev.lockstep.launcher.process;

/// How a rank's process ended.
///
/// @param rank the rank
/// @param code its exit code; 128 and the signal's number if a signal ended it
/// @param order 0 for the first process of the node that ended
/// @param asked whether it ended after it had been told to
public record RankExit(int rank, int code, int order, boolean asked) {
  private static final int SIGNAL_BASE = 128;
  private static final int SIGINT = 2;
  private static final int SIGKILL = 9;
  private static final int SIGTERM = 15;

  /// Returns the exit of a rank on which force was used.
  static RankExit byForce(int rank, int order) {
    return new RankExit(rank, SIGNAL_BASE + SIGKILL, order, true);
  }

  /// Returns whether the rank failed, and not only because it was told to end.
  public boolean failed() {
    boolean ended = asked && (code == SIGNAL_BASE + SIGTERM || code == SIGNAL_BASE + SIGKILL);
    return code != 0 && !ended;
  }

  /// Returns whether a signal ended it that tells processes to stop, as Ctrl-C does to all of a
  /// group.
  public boolean isByStop() {
    return code == SIGNAL_BASE + SIGINT || code == SIGNAL_BASE + SIGTERM;
  }

  /// Returns whether it had been told to end, did not, and was ended by force.
  public boolean isForced() {
    return asked && code == SIGNAL_BASE + SIGKILL;
  }

  /// Returns how it ended in words, for example `signal=SIGKILL, exitCode=137`.
  public String describe() {
    String signal =
        switch (code - SIGNAL_BASE) {
          case 1 -> "SIGHUP";
          case SIGINT -> "SIGINT";
          case 4 -> "SIGILL";
          case 6 -> "SIGABRT";
          case 7 -> "SIGBUS";
          case 8 -> "SIGFPE";
          case SIGKILL -> "SIGKILL";
          case 11 -> "SIGSEGV";
          case SIGTERM -> "SIGTERM";
          default -> "";
        };
    return signal.isEmpty() ? "exitCode=" + code : "signal=" + signal + ", exitCode=" + code;
  }
}
