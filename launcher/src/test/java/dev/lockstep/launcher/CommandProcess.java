package dev.lockstep.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.deadline.RunningTime;
import dev.lockstep.process.JavaCommand;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// The `lockstep` command in a process of its own, on the class path of the tests.
final class CommandProcess implements AutoCloseable {
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final Pattern READY = Pattern.compile(".*ready pid=(\\d+) folder=(\\S+)");
  private static final String END = "\0end of output";

  /// A rank that has said that it is ready. It may have ended by the time that is read.
  record Rank(String line, long pid, Path folder) {
    /// Returns its process unless that is gone.
    Optional<ProcessHandle> process() {
      return ProcessHandle.of(pid);
    }
  }

  private final Process process;
  private final BlockingQueue<String> lines = new LinkedBlockingQueue<>();
  private final List<String> out = new ArrayList<>();
  private final List<String> err = new ArrayList<>();
  private final Thread errors;

  private CommandProcess(Process process) {
    this.process = process;
    Thread.ofVirtual().start(() -> read(process.getInputStream(), lines));
    BlockingQueue<String> errorLines = new LinkedBlockingQueue<>();
    this.errors =
        Thread.ofVirtual()
            .start(
                () -> {
                  read(process.getErrorStream(), errorLines);
                  errorLines.drainTo(err);
                  err.remove(END);
                });
  }

  static CommandProcess start(Map<String, String> environment, String... arguments)
      throws IOException {
    return start(List.of(), environment, arguments);
  }

  static CommandProcess start(
      List<String> jvmArguments, Map<String, String> environment, String... arguments)
      throws IOException {
    List<String> options =
        new ArrayList<>(
            List.of(
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "--enable-native-access=ALL-UNNAMED"));
    options.addAll(jvmArguments);
    ProcessBuilder builder =
        new ProcessBuilder(JavaCommand.of(options, Main.class.getName(), List.of(arguments)));
    builder.environment().putAll(environment);
    return new CommandProcess(builder.start());
  }

  private static void read(InputStream stream, BlockingQueue<String> lines) {
    try (BufferedReader reader =
        new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8))) {
      reader.lines().forEach(lines::add);
    } catch (IOException | UncheckedIOException _) {
      // Killed by the test.
    }
    lines.add(END);
  }

  ProcessHandle handle() {
    return process.toHandle();
  }

  /// Waits for ranks to be ready.
  List<Rank> ready(int ranks) throws InterruptedException {
    List<Rank> ready = new ArrayList<>();
    while (ready.size() < ranks) {
      String line = lines.poll(PATIENCE.toSeconds(), TimeUnit.SECONDS);
      assertThat(line)
          .as("a rank that is ready; errors so far: %s", err)
          .isNotNull()
          .isNotEqualTo(END);
      out.add(line);
      Matcher matcher = READY.matcher(line);
      if (matcher.matches()) {
        long pid = Long.parseLong(matcher.group(1));
        ready.add(new Rank(line, pid, Path.of(matcher.group(2))));
      }
    }
    return ready;
  }

  /// Waits for the end and returns the exit code.
  int exitCode() throws InterruptedException {
    assertThat(process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)).as("has ended").isTrue();
    errors.join();
    String line = lines.take();
    while (!line.equals(END)) {
      out.add(line);
      line = lines.take();
    }
    return process.exitValue();
  }

  /// Waits for the end and returns how long that took.
  Duration untilEnd() throws InterruptedException {
    return RunningTime.untilEnd(process, PATIENCE)
        .orElseThrow(() -> new AssertionError("has not ended"));
  }

  /// Returns the lines of standard output; complete after [#exitCode].
  List<String> out() {
    return out;
  }

  /// Returns the lines of standard error; complete after [#exitCode].
  List<String> err() {
    return err;
  }

  @Override
  public void close() {
    process.descendants().forEach(ProcessHandle::destroyForcibly);
    process.destroyForcibly();
  }
}
