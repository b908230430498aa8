package dev.lockstep.collective.execute;

import java.lang.StackWalker.StackFrame;
import java.util.Arrays;

/// Where in the user's code a collective was asked for.
public final class CallSite {
  private static final String OWN = "dev.lockstep.collective";

  private CallSite() {}

  /// Returns the first frame of this thread outside of this module's packages, for example
  /// `Trainer.step(Trainer.java:120)`; empty on the module's own threads. Costs microseconds.
  public static String here() {
    return StackWalker.getInstance()
        .walk(
            frames ->
                frames.map(StackFrame::toStackTraceElement).filter(CallSite::isUsers).findFirst())
        .filter(frame -> !isThreads(frame))
        .map(StackTraceElement::toString)
        .orElse("");
  }

  /// As [#here], of another thread; stops it for a moment.
  static String of(Thread thread) {
    return Arrays.stream(thread.getStackTrace())
        .dropWhile(frame -> !frame.getClassName().startsWith(OWN + ".")) // how it is parked
        .filter(CallSite::isUsers)
        .findFirst()
        .filter(frame -> !isThreads(frame))
        .map(StackTraceElement::toString)
        .orElse("");
  }

  private static boolean isUsers(StackTraceElement frame) {
    return !frame.getClassName().startsWith(OWN + ".") || isTest(frame);
  }

  private static boolean isThreads(StackTraceElement frame) {
    return frame.getClassName().equals(Thread.class.getName());
  }

  /// Tests live in the packages that they test.
  private static boolean isTest(StackTraceElement frame) {
    return String.valueOf(frame.getFileName()).endsWith("Test.java");
  }
}
