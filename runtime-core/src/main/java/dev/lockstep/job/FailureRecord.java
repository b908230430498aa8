package dev.lockstep.job;

import dev.lockstep.failure.Particulars;

/// The first failure of a job, as every survivor learns it.
///
/// @param rank the rank that failed, or -1 if the agent failed
/// @param host its host
/// @param kind simple name of the exception, or `ProcessExit`, `HeartbeatLost`
/// @param message what is wrong
/// @param stack Java stack of the failure, or empty if the process died without a word
/// @param activity what the rank was doing, for example a collective; may be empty
/// @param epochMillis when it was seen
/// @param particulars what programs are to know of it
public record FailureRecord(
    int rank,
    String host,
    String kind,
    String message,
    String stack,
    String activity,
    long epochMillis,
    Particulars particulars) {
  /// Makes a record of which programs need to know nothing else.
  public FailureRecord(
      int rank,
      String host,
      String kind,
      String message,
      String stack,
      String activity,
      long epochMillis) {
    this(rank, host, kind, message, stack, activity, epochMillis, new Particulars.None());
  }

  /// Returns the record of what was thrown just now, with texts short enough to travel.
  ///
  /// @param activity what the rank was doing, or empty
  public static FailureRecord of(int rank, String host, Throwable cause, String activity) {
    return FailureRecords.of(rank, host, cause, activity);
  }

  /// Returns the record, of kind `ProcessExit`, of a process that ended just now without a word.
  ///
  /// @param message how it ended
  public static FailureRecord ofExit(int rank, String host, String message) {
    return FailureRecords.lost(rank, host, FailureRecords.PROCESS_EXIT, message, "");
  }

  /// Returns whether the rank's process has ended, so that it touches nothing any more. One whose
  /// heartbeat was lost may go on.
  public boolean isProcessExit() {
    return kind.equals(FailureRecords.PROCESS_EXIT);
  }
}
