package dev.lockstep.device.cuda;

import org.jspecify.annotations.Nullable;

/// Ends several things, each whatever becomes of the others. Single-threaded.
final class Endings {
  private @Nullable RuntimeException failure;

  /// Ends one thing and keeps what went wrong.
  void of(Runnable end) {
    try {
      end.run();
    } catch (RuntimeException e) {
      if (failure == null) {
        failure = e;
      } else {
        failure.addSuppressed(e);
      }
    }
  }

  /// Throws the first failure, the others suppressed in it, if there is one.
  void throwFirst() {
    if (failure != null) {
      throw failure;
    }
  }
}
