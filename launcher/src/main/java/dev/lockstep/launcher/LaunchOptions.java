package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/// How [Launcher] starts the ranks of one node.
///
/// @param layout nodes and ranks
/// @param nodeRank this node, from 0
/// @param host address of node 0, where the job's store listens; on one node it listens at loopback
/// @param port port of the store, or 0 for any; must be given if there are several nodes
/// @param runId what the job is called, or empty for a name that is made up
/// @param jvmArguments options for the JVM of each rank, after those that Lockstep gives
/// @param logFolder where the output of each rank is kept, or null
/// @param terminalColumns width of the terminal that rank 0's output goes to, if it is one
/// @param stopPatience how long ranks that are asked to stop may take to save before force ends
///   them
/// @param environment variables of the surroundings; ranks see them too
public record LaunchOptions(
    RankLayout layout,
    int nodeRank,
    String host,
    int port,
    String runId,
    List<String> jvmArguments,
    @Nullable Path logFolder,
    OptionalInt terminalColumns,
    Duration stopPatience,
    Map<String, String> environment) {
  static final String LOOPBACK = "127.0.0.1";

  private static final int MAX_PORT = 65535;
  private static final Duration LONGEST_PATIENCE = Duration.ofDays(365);

  /// Checks the values and copies the collections.
  public LaunchOptions {
    jvmArguments = List.copyOf(jvmArguments);
    environment = Map.copyOf(environment);
    if (nodeRank < 0 || nodeRank >= layout.nodes()) {
      throw new ConfigurationException(
          "--node-rank",
          Integer.toString(nodeRank),
          "node lies outside the job: --node-rank=%d, --nnodes=%d"
              .formatted(nodeRank, layout.nodes()));
    }
    if (port < 0 || port > MAX_PORT) {
      throw new ConfigurationException(
          "--rdzv-endpoint",
          host + ":" + port,
          "port lies outside 1 to %d: --rdzv-endpoint=%s:%d".formatted(MAX_PORT, host, port));
    }
    if (stopPatience.isNegative() || stopPatience.compareTo(LONGEST_PATIENCE) > 0) {
      throw new ConfigurationException(
          "--stop-patience",
          stopPatience.toString(),
          "time to save in is negative or too long: stopPatience=%s, longest=%s"
              .formatted(stopPatience, LONGEST_PATIENCE));
    }
  }

  /// Returns options for ranks on this machine alone, with this process's environment.
  ///
  /// @throws ConfigurationException if a variable of the environment is wrong
  public static LaunchOptions local(int ranks) {
    return new LaunchOptions(
        new RankLayout(1, ranks),
        0,
        LOOPBACK,
        0,
        "",
        List.of(),
        null,
        OptionalInt.empty(),
        StopPatience.of(System.getenv()),
        System.getenv());
  }

  /// Returns these options with options for the JVM of each rank.
  public LaunchOptions withJvmArguments(List<String> arguments) {
    return new LaunchOptions(
        layout,
        nodeRank,
        host,
        port,
        runId,
        arguments,
        logFolder,
        terminalColumns,
        stopPatience,
        environment);
  }

  /// Returns these options with a terminal for rank 0's output.
  public LaunchOptions withTerminalColumns(OptionalInt columns) {
    return new LaunchOptions(
        layout,
        nodeRank,
        host,
        port,
        runId,
        jvmArguments,
        logFolder,
        columns,
        stopPatience,
        environment);
  }

  /// Returns these options with another time for ranks to save in when they are asked to stop.
  public LaunchOptions withStopPatience(Duration patience) {
    return new LaunchOptions(
        layout,
        nodeRank,
        host,
        port,
        runId,
        jvmArguments,
        logFolder,
        terminalColumns,
        patience,
        environment);
  }

  /// Returns these options with other variables.
  public LaunchOptions withEnvironment(Map<String, String> variables) {
    return new LaunchOptions(
        layout,
        nodeRank,
        host,
        port,
        runId,
        jvmArguments,
        logFolder,
        terminalColumns,
        stopPatience,
        variables);
  }
}
