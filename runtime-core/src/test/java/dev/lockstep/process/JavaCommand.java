package dev.lockstep.process;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// The command line of a JVM as a process of its own, with the class path of the tests.
public final class JavaCommand {
  private JavaCommand() {}

  /// Returns the command line that runs a class.
  ///
  /// @param options of the JVM
  /// @param main name of the class
  public static List<String> of(List<String> options, String main, List<String> arguments) {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    // Writes to the mapped file of Java's own counters wait while the disk is busy.
    command.add("-XX:-UsePerfData");
    command.addAll(options);
    command.addAll(List.of("-cp", System.getProperty("java.class.path"), main));
    command.addAll(arguments);
    return command;
  }
}
