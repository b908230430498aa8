package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;
import java.time.Duration;
import java.util.Map;

/// How [Launcher] starts the ranks of one node.
///
/// @param layout nodes and ranks
/// @param rendezvous how this node finds the job
/// @param processes how the ranks' processes run
/// @param environment variables of the surroundings; ranks see them too
public record LaunchOptions(
    RankLayout layout,
    Rendezvous rendezvous,
    RankProcesses processes,
    Map<String, String> environment) {
  /// Checks the node's number and copies the variables.
  public LaunchOptions {
    environment = Map.copyOf(environment);
    int nodeRank = rendezvous.nodeRank();
    if (nodeRank < 0 || nodeRank >= layout.nodes()) {
      throw new ConfigurationException(
          "--node-rank",
          Integer.toString(nodeRank),
          "node lies outside the job: --node-rank=%d, --nnodes=%d"
              .formatted(nodeRank, layout.nodes()));
    }
    if (processes.binding() == Binding.CORES) {
      CoreShares.refusal(layout.ranksPerNode())
          .ifPresent(
              reason -> {
                throw new ConfigurationException(
                    "--bind", "cores", "ranks cannot be bound: --bind=cores: " + reason);
              });
    }
  }

  /// Returns options for ranks on this machine alone, with this process's environment.
  ///
  /// @throws ConfigurationException if a variable of the environment is wrong
  public static LaunchOptions local(int ranks) {
    return new LaunchOptions(
        new RankLayout(1, ranks),
        Rendezvous.local(),
        RankProcesses.patient(StopPatience.of(System.getenv())),
        System.getenv());
  }

  /// Returns these options with another time for ranks to save in when they are asked to stop.
  public LaunchOptions withStopPatience(Duration patience) {
    return with(processes.withStopPatience(patience));
  }

  /// Returns these options with ranks that may run elsewhere.
  ///
  /// @throws ConfigurationException if this machine cannot bind them so
  public LaunchOptions withBinding(Binding binding) {
    return with(processes.withBinding(binding));
  }

  private LaunchOptions with(RankProcesses other) {
    return new LaunchOptions(layout, rendezvous, other, environment);
  }

  /// Returns these options with other variables.
  public LaunchOptions withEnvironment(Map<String, String> variables) {
    return new LaunchOptions(layout, rendezvous, processes, variables);
  }

  /// Returns the job-wide number of a rank of this node.
  int rank(int localRank) {
    return rendezvous.nodeRank() * layout.ranksPerNode() + localRank;
  }
}
