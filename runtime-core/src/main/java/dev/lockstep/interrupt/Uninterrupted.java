package dev.lockstep.interrupt;

import java.nio.channels.ClosedByInterruptException;
import org.jspecify.annotations.Nullable;

/// Waits, and work on files, that an interrupted thread does to their end: whether the thread goes
/// on is not theirs to decide. The JVM ends a wait whose thread is interrupted, and closes a
/// channel whose thread is interrupted while it maps, reads or writes, or was before.
public final class Uninterrupted {
  private Uninterrupted() {}

  /// Work that can be begun again: it opens its channels itself, and waits no longer than is left.
  ///
  /// @param <T> what it returns
  /// @param <X> what it throws beside
  @FunctionalInterface
  public interface Call<T extends @Nullable Object, X extends Exception> {
    /// Does it.
    T call() throws X, InterruptedException;
  }

  /// Waits until a thread has ended. The thread that waits is interrupted afterwards if it was
  /// before or meanwhile.
  public static void join(Thread thread) {
    Uninterrupted.<@Nullable Object, RuntimeException>call(
        () -> {
          thread.join();
          return null;
        });
  }

  /// Does work, again if an interruption broke it off. The thread is interrupted afterwards if it
  /// was before or meanwhile.
  public static <T extends @Nullable Object, X extends Exception> T call(Call<T, X> work) throws X {
    boolean interrupted = Thread.interrupted();
    try {
      while (true) {
        try {
          return work.call();
        } catch (InterruptedException _) {
          interrupted = true;
        } catch (Exception e) {
          if (!(e instanceof ClosedByInterruptException)) {
            throw e;
          }
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
