package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.deadline.RunningTime;
import dev.lockstep.process.JavaCommand;
import dev.lockstep.process.Signals;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/// A command of a user's in a process of its own. Its output is read by virtual threads and may be
/// asked for at any time.
final class Command implements AutoCloseable {
  private static final Duration PATIENCE = Duration.ofSeconds(100);

  private static final long POLL_NANOS = 2_000_000;

  private final Process process;
  private final List<String> out = new ArrayList<>();
  private final List<String> err = new ArrayList<>();
  private final List<Thread> readers;

  private Command(Process process) {
    this.process = process;
    this.readers =
        List.of(
            Thread.ofVirtual().start(() -> read(process.getInputStream(), out)),
            Thread.ofVirtual().start(() -> read(process.getErrorStream(), err)));
  }

  /// Starts any program.
  static Command start(Map<String, String> environment, List<String> program) throws IOException {
    ProcessBuilder builder = new ProcessBuilder(program);
    builder.environment().putAll(environment);
    Process process = builder.start();
    process.getOutputStream().close();
    return new Command(process);
  }

  /// Starts `lockstep` with arguments.
  static Command lockstep(String... arguments) throws IOException {
    return start(Map.of(), lockstepProgram(arguments));
  }

  /// Returns the program of `lockstep` with arguments: the script itself, from what the build has
  /// packaged.
  static List<String> lockstepProgram(String... arguments) {
    List<String> program = new ArrayList<>();
    // Where whoever runs these has a JDK 25 elsewhere.
    program.addAll(List.of("env", "LOCKSTEP_JAVA_HOME=" + System.getProperty("java.home")));
    program.add(Packaged.script().toString());
    program.addAll(List.of(arguments));
    return program;
  }

  /// Returns the program of a process that computes itself, on the class path of the tests, which
  /// has their classes too.
  ///
  /// @param main name of the class
  static List<String> computingProgram(String main) {
    return JavaCommand.of(
        List.of(
            "-XX:+UseSerialGC",
            "--enable-native-access=ALL-UNNAMED",
            "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED",
            "--add-modules=jdk.incubator.vector"),
        main,
        List.of());
  }

  private static void read(InputStream stream, List<String> lines) {
    try (BufferedReader reader =
        new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8))) {
      for (String line = reader.readLine(); line != null; line = reader.readLine()) {
        synchronized (lines) {
          lines.add(line);
        }
      }
    } catch (IOException | UncheckedIOException _) {
      // Killed by the test.
    }
  }

  private static List<String> copy(List<String> lines) {
    synchronized (lines) {
      return List.copyOf(lines);
    }
  }

  /// Returns the lines of standard output so far; all of them after [#exitCode].
  List<String> out() {
    return copy(out);
  }

  /// Returns the lines of standard error so far; all of them after [#exitCode].
  List<String> err() {
    return copy(err);
  }

  /// Returns everything that was printed so far, for failure messages.
  String output() {
    return String.join("\n", out()) + "\n" + String.join("\n", err());
  }

  /// Waits until something is so while the command runs.
  void await(String what, BooleanSupplier condition) {
    long start = System.nanoTime();
    while (!condition.getAsBoolean()) {
      assertThat(process.isAlive()).as("runs until %s\n%s", what, output()).isTrue();
      assertThat(System.nanoTime() - start)
          .as("nanoseconds until %s\n%s", what, output())
          .isLessThan(PATIENCE.toNanos());
      LockSupport.parkNanos(POLL_NANOS);
    }
  }

  /// Sends a signal by name.
  void signal(String signal) throws IOException, InterruptedException {
    Signals.send(signal, process.toHandle());
  }

  /// Returns the process of a rank.
  ProcessHandle rank(int rank) {
    return process
        .descendants()
        .filter(child -> environment(child).contains("RANK=" + rank))
        .findFirst()
        .orElseThrow(() -> new AssertionError("no process of rank " + rank + "\n" + output()));
  }

  /// Returns the processes that this one has started.
  List<ProcessHandle> descendants() {
    return process.descendants().toList();
  }

  /// Returns the variables that a process was started with, each as `NAME=value`.
  static List<String> environment(ProcessHandle process) {
    try {
      byte[] bytes = Files.readAllBytes(Path.of("/proc", "" + process.pid(), "environ"));
      return List.of(new String(bytes, StandardCharsets.UTF_8).split("\0", -1));
    } catch (IOException _) {
      return List.of();
    }
  }

  /// Waits for the end and returns how long that took.
  Duration untilEnd() throws InterruptedException {
    return untilEnd(PATIENCE);
  }

  /// Waits for the end of what takes longer than others; returns how long that was.
  Duration untilEnd(Duration patience) throws InterruptedException {
    return RunningTime.untilEnd(process, patience)
        .orElseThrow(() -> new AssertionError("has not ended\n" + output()));
  }

  /// Waits for the end and returns the exit code.
  int exitCode() throws InterruptedException {
    var _ = untilEnd();
    for (Thread reader : readers) {
      reader.join();
    }
    return process.exitValue();
  }

  /// Waits for the end, which must be a good one, and returns this.
  Command done() throws InterruptedException {
    assertThat(exitCode()).as("exit code\n%s", output()).isZero();
    return this;
  }

  /// Returns what was printed after a word at the start of a line, whatever rank printed it.
  String printed(String word) {
    return line(word)
        .orElseThrow(() -> new AssertionError("not printed: " + word + "\n" + output()))
        .substring(word.length())
        .strip();
  }

  /// Returns whether a line that starts with a word was printed so far, whatever rank printed it.
  boolean hasPrinted(String word) {
    return line(word).isPresent();
  }

  private Optional<String> line(String word) {
    return out().stream()
        .map(text -> text.replaceFirst("^\\[rank\\d+]: ", ""))
        .filter(text -> text.startsWith(word))
        .findFirst();
  }

  @Override
  public void close() {
    List<ProcessHandle> children = process.descendants().toList();
    process.toHandle().destroyForcibly();
    children.forEach(ProcessHandle::destroyForcibly);
  }
}
