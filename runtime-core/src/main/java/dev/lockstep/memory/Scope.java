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

  /// Does what is still to be done after a failure that the caller throws on, such as to close
  /// something or to tell others: what that throws is added to the failure and does not hide it.
  public static void afterFailure(Throwable failure, Runnable rest) {
    try {
      rest.run();
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
        afterFailure(failure, closings.pop());
      }
      throw failure;
    }
  }

  /// What is done after a failure may throw that very failure.
  private static void suppress(Throwable failure, Throwable left) {
    if (!failure.equals(left)) {
      failure.addSuppressed(left);
    }
  }
}
