package dev.lockstep.memory;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.function.Consumer;

/// Owns what is opened in it and closes that, last first. Single-threaded.
public final class Scope implements AutoCloseable {
  private final Deque<Runnable> closings = new ArrayDeque<>();

  /// Makes a scope that owns nothing yet.
  public Scope() {}

  /// Takes a resource over and returns it.
  ///
  /// @param close closes it; called once
  public <T> T own(T resource, Consumer<? super T> close) {
    closings.push(() -> close.accept(resource));
    return resource;
  }

  /// Closes something after a failure that the caller throws on: what closing throws is added to
  /// that failure and does not hide it.
  public static void closeAfter(Throwable failure, Runnable close) {
    try {
      close.run();
    } catch (RuntimeException | Error left) {
      suppress(failure, left);
    }
  }

  /// Closes everything, also where closing one thing fails; idempotent.
  @Override
  public void close() {
    try {
      while (!closings.isEmpty()) {
        closings.pop().run();
      }
    } catch (RuntimeException | Error failure) {
      while (!closings.isEmpty()) {
        closeAfter(failure, closings.pop());
      }
      throw failure;
    }
  }

  /// What closes may throw the very failure that it is closed after.
  private static void suppress(Throwable failure, Throwable left) {
    if (!failure.equals(left)) {
      failure.addSuppressed(left);
    }
  }
}
