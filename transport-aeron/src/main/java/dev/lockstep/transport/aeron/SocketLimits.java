package dev.lockstep.transport.aeron;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// How large the kernel lets a socket's buffers be: the receive window follows from it, and Aeron
/// refuses a window that does not fit.
final class SocketLimits {
  /// More than this brings nothing at the bandwidths of a host's own links.
  private static final int LARGEST_BYTES = 2 << 20;

  /// Linux's default for net.core.rmem_max and wmem_max, rounded down to Aeron's default window.
  private static final int FALLBACK_BYTES = 128 << 10;

  private SocketLimits() {}

  static int receiveBytes() {
    return read("/proc/sys/net/core/rmem_max");
  }

  static int sendBytes() {
    return read("/proc/sys/net/core/wmem_max");
  }

  private static int read(String path) {
    try {
      long limit = Long.parseLong(Files.readString(Path.of(path)).strip());
      return Integer.highestOneBit(Math.clamp(limit, FALLBACK_BYTES, LARGEST_BYTES));
    } catch (IOException | NumberFormatException e) {
      return FALLBACK_BYTES;
    }
  }
}
