package dev.lockstep.transport;

import dev.lockstep.memory.ffi.LibC;

/// The core that the calling thread runs on. Ranks of one host number cores alike.
public final class CurrentCore {
  /// The number of a core where the system does not tell it.
  public static final int UNKNOWN = -1;

  private CurrentCore() {}

  /// Returns the core's number, or [#UNKNOWN]; takes some nanoseconds, allocates nothing. The
  /// scheduler may move the thread at any time.
  public static int number() {
    return LibC.schedGetcpu();
  }
}
