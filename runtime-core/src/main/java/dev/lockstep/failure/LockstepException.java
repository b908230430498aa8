package dev.lockstep.failure;

import org.jspecify.annotations.Nullable;

/// Root of every failure that Lockstep itself reports. Open for other modules, because a sealed
/// class cannot span modules; programmer's errors stay JDK types ([IllegalArgumentException],
/// [IllegalStateException]).
///
/// Messages read `what is wrong: key=value, key=value (remedy)`, in one line: control characters of
/// names and values, which may come from anybody's file, are spelled out ([Printable#line]).
public abstract class LockstepException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /// Makes a failure with its message.
  protected LockstepException(String message) {
    super(Printable.line(message));
  }

  /// Makes a failure with its message and what caused it.
  protected LockstepException(String message, @Nullable Throwable cause) {
    super(Printable.line(message), cause);
  }

  /// Returns what other ranks are to know of it beside the message.
  public Particulars particulars() {
    return new Particulars.None();
  }
}
