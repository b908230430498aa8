package dev.lockstep.launcher.process;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/// The running process of one rank. Its standard input stays open and silent for as long as this
/// process lives: its end tells the rank that nobody watches any more.
final class RankProcess {
  private static final Duration LAST_OUTPUT = Duration.ofMillis(200);

  private final int rank;
  private final Process process;
  private final List<OutputPump> pumps;

  RankProcess(int rank, Process process, List<OutputPump> pumps) {
    this.rank = rank;
    this.process = process;
    this.pumps = pumps;
  }

  /// Starts the process.
  ///
  /// @param prefix of its lines
  /// @param live whether its standard output goes to the terminal as it is
  static RankProcess start(RankCommand command, Console console, String prefix, boolean live)
      throws IOException {
    OutputStream outLog = log(command.logFolder(), "stdout.log");
    OutputStream errLog = log(command.logFolder(), "stderr.log");
    ProcessBuilder builder = new ProcessBuilder(command.command());
    command.without().forEach(builder.environment()::remove);
    builder.environment().putAll(command.environment());
    Process process = builder.start();
    String name = "lockstep-rank-" + command.rank();
    OutputPump.Target out =
        live
            ? new OutputPump.Target.Live(console)
            : new OutputPump.Target.Lines(console, prefix, false);
    OutputPump.Target err = new OutputPump.Target.Lines(console, prefix, true);
    InputStream outStream = process.getInputStream();
    InputStream errStream = process.getErrorStream();
    return new RankProcess(
        command.rank(),
        process,
        List.of(
            OutputPump.start(name + "-out", outStream, out, outLog),
            OutputPump.start(name + "-err", errStream, err, errLog)));
  }

  private static @Nullable OutputStream log(@Nullable Path folder, String name) throws IOException {
    return folder == null
        ? null
        : Files.newOutputStream(Files.createDirectories(folder).resolve(name));
  }

  int rank() {
    return rank;
  }

  long pid() {
    return process.pid();
  }

  /// Returns the future exit code.
  CompletableFuture<Integer> exit() {
    return process.onExit().thenApply(Process::exitValue);
  }

  /// Asks the process to end. By its handle, since [Process#destroy] closes the streams too: the
  /// rank would take the end of its standard input for the launcher's death.
  void terminate() {
    var _ = process.toHandle().destroy();
  }

  /// Ends the process and what it started.
  void kill() {
    process.descendants().forEach(ProcessHandle::destroyForcibly);
    var _ = process.toHandle().destroyForcibly();
  }

  /// Waits for what it printed last.
  void drain() {
    pumps.forEach(pump -> pump.finish(LAST_OUTPUT));
  }
}
