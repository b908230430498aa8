package dev.lockstep.process;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// Signals to processes.
public final class Signals {
  private Signals() {}

  /// Sends a signal by name, as `TERM`.
  public static void send(String signal, ProcessHandle to)
      throws IOException, InterruptedException {
    int code = new ProcessBuilder("kill", "-" + signal, "" + to.pid()).start().waitFor();
    if (code != 0) {
      throw new AssertionError(
          "signal cannot be sent: signal=%s, pid=%d, code=%d".formatted(signal, to.pid(), code));
    }
  }

  /// Returns whether this process ignores a signal, and so do its children: one that was started in
  /// the background of a plain shell ignores SIGINT.
  public static boolean isIgnored(int signal) throws IOException {
    String mask =
        Files.readAllLines(Path.of("/proc/self/status")).stream()
            .filter(line -> line.startsWith("SigIgn:"))
            .map(line -> line.substring("SigIgn:".length()).strip())
            .findFirst()
            .orElse("0");
    return (Long.parseUnsignedLong(mask, 16) >> (signal - 1) & 1) == 1;
  }
}
