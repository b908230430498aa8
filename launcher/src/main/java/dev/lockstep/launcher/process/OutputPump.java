package dev.lockstep.launcher.process;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Carries one stream of a rank to the console and its log file, until it ends.
final class OutputPump {
  // Said by every JVM that has the Vector API; it is meant for nobody.
  private static final byte[] INCUBATOR_NOTICE =
      "WARNING: Using incubator modules: jdk.incubator.vector".getBytes(StandardCharsets.US_ASCII);
  private static final int BUFFER_BYTES = 8192;
  private static final int MAX_LINE_BYTES = 64 * 1024;

  /// Where lines, or whole chunks, go.
  sealed interface Target {
    /// Chunk by chunk, as they come.
    record Live(Console console) implements Target {}

    /// Line by line, with a prefix.
    record Lines(Console console, String prefix, boolean error) implements Target {}
  }

  private final InputStream source;
  private final Target target;
  private final @Nullable OutputStream log;
  private final ByteArrayOutputStream line = new ByteArrayOutputStream();
  private final Thread thread;
  // What was said before is out then.
  private volatile boolean isListening;
  private boolean logBroken;

  private OutputPump(String name, InputStream source, Target target, @Nullable OutputStream log) {
    this.source = source;
    this.target = target;
    this.log = log;
    this.thread = Thread.ofPlatform().daemon().name(name).unstarted(this::run);
  }

  static OutputPump start(
      String name, InputStream source, Target target, @Nullable OutputStream log) {
    OutputPump pump = new OutputPump(name, source, target, log);
    pump.thread.start();
    return pump;
  }

  /// Waits until everything is out that an ended process has said, however slowly it is read. A
  /// stream that others hold open, and say nothing on, is waited for so long.
  void finish(Duration patience) {
    try {
      while (!thread.join(patience) && !isListening) {
        // Whoever reads the console takes its time.
      }
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
    }
  }

  private void run() {
    byte[] buffer = new byte[BUFFER_BYTES];
    try (log) {
      for (int n = listen(buffer); n >= 0; n = listen(buffer)) {
        keep(buffer, n);
        switch (target) {
          case Target.Live(Console console) -> console.pass(buffer, n);
          case Target.Lines lines -> split(lines, buffer, n);
        }
      }
    } catch (IOException _) {
      // The process is gone: what it had written is out.
    }
    if (target instanceof Target.Lines lines && line.size() > 0) {
      emit(lines);
    }
  }

  private int listen(byte[] buffer) throws IOException {
    isListening = true;
    try {
      return source.read(buffer);
    } finally {
      isListening = false;
    }
  }

  private void keep(byte[] buffer, int length) {
    if (log == null || logBroken) {
      return;
    }
    try {
      log.write(buffer, 0, length);
    } catch (IOException _) {
      logBroken = true; // A full disk must not stop the rank.
    }
  }

  private void split(Target.Lines lines, byte[] buffer, int length) {
    int start = 0;
    for (int i = 0; i < length; i++) {
      if (buffer[i] == '\n') {
        line.write(buffer, start, i - start);
        start = i + 1;
        emit(lines);
      }
    }
    line.write(buffer, start, length - start);
    if (line.size() > MAX_LINE_BYTES) {
      emit(lines);
    }
  }

  private void emit(Target.Lines lines) {
    byte[] bytes = line.toByteArray();
    line.reset();
    if (bytes.length > 0 && bytes[bytes.length - 1] == '\r') {
      bytes = Arrays.copyOf(bytes, bytes.length - 1);
    }
    if (!lines.error()) {
      lines.console().out(lines.prefix(), bytes);
    } else if (!Arrays.equals(bytes, INCUBATOR_NOTICE)) {
      lines.console().err(lines.prefix(), bytes);
    }
  }
}
