package dev.lockstep.launcher;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// What this process's standard output leads to.
final class StandardOutput {
  // S_IFMT, S_IFIFO and S_IFSOCK of stat(2).
  private static final int KIND = 0170000;
  private static final int PIPE = 0010000;
  private static final int SOCKET = 0140000;

  private StandardOutput() {}

  /// Returns whether another program reads it, as in `lockstep doctor | head`. Nothing is ever full
  /// then: what cannot be written was not wanted any more.
  static boolean isRead() {
    try {
      int mode = (int) Files.getAttribute(Path.of("/proc/self/fd/1"), "unix:mode");
      return (mode & KIND) == PIPE || (mode & KIND) == SOCKET;
    } catch (IOException | UnsupportedOperationException | IllegalArgumentException _) {
      return false; // closed, or a system that does not tell
    }
  }
}
