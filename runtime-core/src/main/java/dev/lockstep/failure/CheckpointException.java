package dev.lockstep.failure;

import org.jspecify.annotations.Nullable;

/// A checkpoint is damaged, incomplete or does not fit. Nothing was loaded; an older checkpoint may
/// do.
public final class CheckpointException extends LockstepException {
  private static final long serialVersionUID = 1L;

  private final String path;

  /// Makes the failure; the arguments come back from the accessors.
  public CheckpointException(String path, String message, @Nullable Throwable cause) {
    super(message, cause);
    this.path = path;
  }

  /// Returns the file or folder.
  public String path() {
    return path;
  }
}
