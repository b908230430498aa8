package dev.lockstep.launcher.process;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// How one rank of this node is started.
///
/// @param localRank its number on this node
/// @param rank its number in the job
/// @param command program and arguments
/// @param environment variables set besides those of this process
/// @param without variables of this process that the rank must not see
/// @param logFolder where its output is kept, or null
public record RankCommand(
    int localRank,
    int rank,
    List<String> command,
    Map<String, String> environment,
    List<String> without,
    @Nullable Path logFolder) {
  /// Copies the collections.
  public RankCommand {
    command = List.copyOf(command);
    environment = Map.copyOf(environment);
    without = List.copyOf(without);
  }
}
