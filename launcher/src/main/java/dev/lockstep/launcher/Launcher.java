package dev.lockstep.launcher;

import dev.lockstep.launcher.process.Console;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.List;

/// Starts the ranks of a job on this node and watches them: what `lockstep run` does.
public final class Launcher {
  private Launcher() {}

  /// Runs a job to its end. The ranks have ended when this returns, and nothing of them is left but
  /// what they wrote to the user's folders.
  ///
  /// A failure is shown once, on `err`. While it runs, the end of this process ends the ranks: they
  /// are asked to save, and are gone within [RankProcesses#stopPatience].
  ///
  /// @param job name of a [JobProvider]
  /// @param arguments the job's own arguments
  /// @param out where the ranks' standard output goes
  /// @param err where their standard error goes, and failures
  /// @return the exit code of the first failed rank: 128 and the signal's number if a signal ended
  ///   it, 2 if the user's input was wrong, 1 if it failed on another node; 0 if none failed
  /// @throws dev.lockstep.failure.ConfigurationException if the input is wrong; nothing was started
  /// @throws IOException if a process cannot be started
  /// @throws InterruptedException if the calling thread is interrupted; the ranks are gone then
  public static int launch(
      LaunchOptions options, String job, List<String> arguments, PrintStream out, PrintStream err)
      throws IOException, InterruptedException {
    JobProvider provider = Jobs.installed().named(job);
    provider.check(arguments, options.layout().worldSize());
    Path logs = options.processes().logFolder();
    if (logs != null) {
      provider.checkLogs(arguments, logs);
    }
    return new NodeAgent(options, job, arguments, new Console(out, err)).run();
  }
}
