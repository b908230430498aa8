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
    } catch (RuntimeException left) {
      failure.addSuppressed(left);
    }
  }

  /// Closes everything, also where closing one thing fails; idempotent.
  @Override
  public void close() {
    RuntimeException failure = null;
    while (!closings.isEmpty()) {
      try {
        closings.pop().run();
      } catch (RuntimeException e) {
        if (failure == null) {
          failure = e;
        } else {
          failure.addSuppressed(e);
        }
      }
    }
    if (failure != null) {
      throw failure;
    }
  }
}
