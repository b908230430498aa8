package dev.lockstep.memory;

import java.io.IOException;
import java.nio.channels.ClosedByInterruptException;

/// Work on files that an interrupted thread does to its end. The JVM closes a channel whose thread
/// is interrupted while it maps, reads or writes, or was before; but whether the thread goes on is
/// not memory's to decide.
public final class Uninterrupted {
  private Uninterrupted() {}

  /// Work that opens its channels itself, so that it can be done again.
  @FunctionalInterface
  public interface Call<T> {
    /// Does it.
    T call() throws IOException;
  }

  /// Does work, again if an interruption broke it off. The thread is interrupted afterwards if it
  /// was before or meanwhile.
  public static <T> T call(Call<T> work) throws IOException {
    boolean interrupted = Thread.interrupted();
    try {
      while (true) {
        try {
          return work.call();
        } catch (ClosedByInterruptException again) {
          interrupted |= Thread.interrupted();
        }
      }
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }
}
