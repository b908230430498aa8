package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/// How the processes of a node's ranks are started, heard and stopped.
///
/// @param jvmArguments options for the JVM of each rank, after those that Lockstep gives
/// @param logFolder where the output of each rank is kept, or null
/// @param terminalColumns width of the terminal that rank 0's output goes to, if it is one
/// @param stopPatience how long ranks that are asked to stop may take to save before force ends
///   them
/// @param binding where they may run
public record RankProcesses(
    List<String> jvmArguments,
    @Nullable Path logFolder,
    OptionalInt terminalColumns,
    Duration stopPatience,
    Binding binding) {
  private static final Duration LONGEST_PATIENCE = Duration.ofDays(365);

  /// Checks the patience and copies the list.
  public RankProcesses {
    jvmArguments = List.copyOf(jvmArguments);
    if (stopPatience.isNegative() || stopPatience.compareTo(LONGEST_PATIENCE) > 0) {
      throw new ConfigurationException(
          "--stop-patience",
          stopPatience.toString(),
          "time to save in is negative or too long: stopPatience=%s, longest=%s"
              .formatted(stopPatience, LONGEST_PATIENCE));
    }
  }

  /// Returns what is usual, where ranks have so long to save in.
  static RankProcesses patient(Duration stopPatience) {
    return new RankProcesses(List.of(), null, OptionalInt.empty(), stopPatience, Binding.NONE);
  }

  RankProcesses withStopPatience(Duration patience) {
    return new RankProcesses(jvmArguments, logFolder, terminalColumns, patience, binding);
  }

  RankProcesses withBinding(Binding other) {
    return new RankProcesses(jvmArguments, logFolder, terminalColumns, stopPatience, other);
  }
}
