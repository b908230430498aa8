package dev.lockstep.job;

import java.io.PrintWriter;
import java.io.StringWriter;

/// Makes failure records, with texts short enough to travel.
final class FailureRecords {
  // Together they fit a control frame of 64 KiB whatever the alphabet.
  static final int MAX_STACK_CHARS = 12_000;
  static final int MAX_MESSAGE_CHARS = 4_000;
  static final int MAX_NAME_CHARS = 500;

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
            String.valueOf(cause.getMessage()),
            stack.toString(),
            activity,
            System.currentTimeMillis()));
  }

  /// Returns the record of a rank that fell silent or whose process ended.
  static FailureRecord lost(int rank, String host, String kind, String message, String activity) {
    return bounded(
        new FailureRecord(rank, host, kind, message, "", activity, System.currentTimeMillis()));
  }

  /// Returns the record with texts cut to what may travel.
  static FailureRecord bounded(FailureRecord record) {
    return new FailureRecord(
        record.rank(),
        cut(record.host(), MAX_NAME_CHARS),
        cut(record.kind(), MAX_NAME_CHARS),
        cut(record.message(), MAX_MESSAGE_CHARS),
        cut(record.stack(), MAX_STACK_CHARS),
        cut(record.activity(), MAX_NAME_CHARS),
        record.epochMillis());
  }

  static String cut(String text, int chars) {
    return text.length() <= chars ? text : text.substring(0, chars - 3) + "...";
  }
}
