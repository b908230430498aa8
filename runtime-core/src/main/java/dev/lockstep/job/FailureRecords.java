package dev.lockstep.job;

import dev.lockstep.failure.LockstepException;
import dev.lockstep.failure.Particulars;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;

/// Makes failure records, with texts short enough to travel.
final class FailureRecords {
  // Together they fit a control frame of 64 KiB whatever the alphabet.
  static final int MAX_STACK_CHARS = 12_000;
  static final int MAX_MESSAGE_CHARS = 4_000;
  static final int MAX_NAME_CHARS = 500;
  static final int MAX_CALL_CHARS = 2_000;
  static final int MAX_MISSING_RANKS = 1_000;

  static final String PROCESS_EXIT = "ProcessExit";
  static final String HEARTBEAT_LOST = "HeartbeatLost";

  private FailureRecords() {}

  static FailureRecord of(int rank, String host, Throwable cause, String activity) {
    StringWriter stack = new StringWriter();
    cause.printStackTrace(new PrintWriter(stack));
    return bounded(
        new FailureRecord(
            rank,
            host,
            cause.getClass().getSimpleName(),
            message(cause),
            stack.toString(),
            activity,
            System.currentTimeMillis(),
            cause instanceof LockstepException known
                ? known.particulars()
                : new Particulars.None()));
  }

  /// What has no message of its own may have a cause, as a class that could not be made ready has,
  /// or a place, as a stack that ran over.
  private static String message(Throwable failure) {
    String message = failure.getMessage();
    if (message != null) {
      return message;
    }
    Throwable beneath = failure.getCause();
    if (beneath != null) {
      return "caused by " + beneath;
    }
    StackTraceElement[] stack = failure.getStackTrace();
    return stack.length == 0 ? "it says no more" : "thrown at " + stack[0];
  }

  /// Returns the record of a rank that fell silent or whose process ended.
  static FailureRecord lost(int rank, String host, String kind, String message, String activity) {
    return bounded(
        new FailureRecord(rank, host, kind, message, "", activity, System.currentTimeMillis()));
  }

  /// Returns the record with texts and lists cut to what may travel.
  static FailureRecord bounded(FailureRecord record) {
    return new FailureRecord(
        record.rank(),
        cut(record.host(), MAX_NAME_CHARS),
        cut(record.kind(), MAX_NAME_CHARS),
        cut(record.message(), MAX_MESSAGE_CHARS),
        cut(record.stack(), MAX_STACK_CHARS),
        cut(record.activity(), MAX_NAME_CHARS),
        record.epochMillis(),
        bounded(record.particulars()));
  }

  /// Returns the record without particulars that name ranks which the job does not have.
  static FailureRecord checked(FailureRecord record, int worldSize) {
    return record.particulars().isOf(worldSize)
        ? record
        : new FailureRecord(
            record.rank(),
            record.host(),
            record.kind(),
            record.message(),
            record.stack(),
            record.activity(),
            record.epochMillis());
  }

  private static Particulars bounded(Particulars particulars) {
    return switch (particulars) {
      case Particulars.None none -> none;
      case Particulars.MissingRanks(List<Integer> ranks) ->
          new Particulars.MissingRanks(ranks.subList(0, Math.min(ranks.size(), MAX_MISSING_RANKS)));
      case Particulars.Mismatch(
              int communicator,
              Particulars.Call first,
              Particulars.Call second) ->
          new Particulars.Mismatch(communicator, bounded(first), bounded(second));
    };
  }

  private static Particulars.Call bounded(Particulars.Call call) {
    return new Particulars.Call(
        call.rank(), call.sequence(), call.fingerprint(), cut(call.description(), MAX_CALL_CHARS));
  }

  static String cut(String text, int chars) {
    return text.length() <= chars ? text : text.substring(0, chars - 3) + "...";
  }
}
