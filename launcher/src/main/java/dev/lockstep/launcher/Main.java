package dev.lockstep.launcher;

import picocli.CommandLine;
import picocli.CommandLine.Command;

/// The `lockstep` command.
@Command(
    name = "lockstep",
    mixinStandardHelpOptions = true,
    version = "lockstep 0.1.0-SNAPSHOT",
    description = "Trains models across processes, with the same bits on any layout.")
public final class Main implements Runnable {
  private Main() {}

  /// Runs the command and ends the process: 0 done, 1 the work failed, 2 the input was wrong.
  ///
  /// @param args the command line
  public static void main(String[] args) {
    System.exit(new CommandLine(new Main()).execute(args));
  }

  @Override
  public void run() {
    CommandLine.usage(this, System.out);
  }
}
