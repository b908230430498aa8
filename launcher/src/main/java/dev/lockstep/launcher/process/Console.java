package dev.lockstep.launcher.process;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/// Where the output of all ranks of a node comes together. On a terminal one rank may keep a live
/// line (text that a carriage return will overwrite): other lines are put above it. Thread-safe.
public final class Console {
  private static final byte[] CLEAR_LINE = "\r\033[K".getBytes(StandardCharsets.US_ASCII);
  // More than a terminal's line; beyond it the line is not drawn again.
  private static final int MAX_LIVE_BYTES = 4096;

  private final PrintStream out;
  private final PrintStream err;
  private final ByteArrayOutputStream live = new ByteArrayOutputStream();

  /// Makes a console over the streams of this process, which stay the caller's.
  public Console(PrintStream out, PrintStream err) {
    this.out = out;
    this.err = err;
  }

  /// Passes on what a rank wrote, as it is.
  public synchronized void pass(byte[] bytes, int length) {
    out.write(bytes, 0, length);
    out.flush();
    for (int i = 0; i < length; i++) {
      if (bytes[i] == '\n' || bytes[i] == '\r') {
        live.reset();
      } else if (live.size() < MAX_LIVE_BYTES) {
        live.write(bytes[i]);
      }
    }
  }

  /// Ends a live line that its rank will not overwrite any more.
  public synchronized void endLive() {
    if (live.size() > 0) {
      out.println();
      out.flush();
      live.reset();
    }
  }

  /// Prints a line of a rank's standard output.
  public synchronized void out(String prefix, byte[] line) {
    line(out, prefix, line);
  }

  /// Prints a line of a rank's standard error.
  public synchronized void err(String prefix, byte[] line) {
    line(err, prefix, line);
  }

  /// Prints text of the launcher itself to standard error.
  public synchronized void say(String text) {
    err("", text.getBytes(err.charset()));
  }

  private void line(PrintStream stream, String prefix, byte[] line) {
    boolean covered = live.size() > 0;
    if (covered) {
      out.writeBytes(CLEAR_LINE);
      out.flush();
    }
    byte[] start = prefix.getBytes(StandardCharsets.UTF_8);
    byte[] whole = new byte[start.length + line.length + 1];
    System.arraycopy(start, 0, whole, 0, start.length);
    System.arraycopy(line, 0, whole, start.length, line.length);
    whole[whole.length - 1] = '\n';
    // In one piece: another process may write to the same terminal or file.
    stream.writeBytes(whole);
    stream.flush();
    if (covered) {
      out.writeBytes(live.toByteArray());
      out.flush();
    }
  }
}
