package dev.lockstep.launcher;

import java.util.Arrays;

/// The `lockstep` command.
public final class Main {
  private Main() {}

  /// Runs the command and ends the process: 0 done, 1 the work failed, 2 the input was wrong; for
  /// `run`, the exit code of the first failed rank.
  ///
  /// @param args the command line
  public static void main(String[] args) {
    LockstepCommand command =
        new LockstepCommand(System.getenv(), System.out, System.err, StandardOutput::isRead);
    System.exit(command.execute(Arrays.asList(args)));
  }
}
