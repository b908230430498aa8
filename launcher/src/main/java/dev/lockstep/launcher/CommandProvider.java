package dev.lockstep.launcher;

import java.io.PrintStream;
import java.util.List;

/// A verb of the `lockstep` command that another module brings, found by [java.util.ServiceLoader].
public interface CommandProvider {
  /// Returns the verb, for example `perf`.
  String name();

  /// Returns one line about it, for `lockstep --help`.
  String summary();

  /// Runs the command.
  ///
  /// @param arguments what follows the verb, `--help` included
  /// @return exit code: 0 done, 1 the work failed, 2 the user's input was wrong
  /// @throws dev.lockstep.failure.ConfigurationException if the user's input is wrong; the sentence
  ///   is printed and the command ends with code 2
  /// @throws Exception if the work fails; shown with its stack, code 1
  int run(List<String> arguments, PrintStream out, PrintStream err) throws Exception;
}
