package dev.lockstep.deadline;

import java.time.Duration;
import java.util.function.BooleanSupplier;

/// How long a test waits for what has to come: a loop without an end hangs the build instead of
/// failing, since JUnit only interrupts what takes too long.
public final class Deadline {
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  private Deadline() {}

  /// Waits until a condition holds, and fails where it does not within 20 s.
  ///
  /// @param condition asked again and again; may do a part of the work that it asks for
  public static void until(BooleanSupplier condition) {
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    while (!condition.getAsBoolean()) {
      if (System.nanoTime() - deadline > 0) {
        throw new AssertionError("deadline passed: seconds=" + PATIENCE.toSeconds());
      }
      Thread.onSpinWait();
    }
  }
}
