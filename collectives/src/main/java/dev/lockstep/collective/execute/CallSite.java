package dev.lockstep.collective.execute;

import java.lang.StackWalker.StackFrame;

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
                frames
                    .filter(frame -> !frame.getClassName().startsWith(OWN + ".") || isTest(frame))
                    .findFirst())
        .filter(frame -> !frame.getClassName().equals(Thread.class.getName()))
        .map(frame -> frame.toStackTraceElement().toString())
        .orElse("");
  }

  /// Tests live in the packages that they test.
  private static boolean isTest(StackFrame frame) {
    return String.valueOf(frame.getFileName()).endsWith("Test.java");
  }
}
