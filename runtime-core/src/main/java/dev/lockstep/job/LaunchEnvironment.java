package dev.lockstep.job;

import dev.lockstep.job.RankVariables.Ranks;
import java.util.Map;
import java.util.Optional;

/// What the environment says of this process's place in a job. A pure function of the variables.
///
/// @param launcher who started it, for messages; empty if nobody did
/// @param localRank -1 where the launcher does not say, as the next three
/// @param spansNodes whether ranks run on several machines, as far as can be known beforehand
/// @param storeHost where the store is, or is to be
/// @param storePort its port, or -1 where a job of one rank needs none
/// @param agentHostsStore whether the launcher's agent hosts the store; otherwise rank 0 does
/// @param jobName what the launcher calls the job, or empty
record LaunchEnvironment(
    String launcher,
    int rank,
    int worldSize,
    int localRank,
    int localWorldSize,
    int nodeRank,
    int nodes,
    boolean spansNodes,
    String storeHost,
    int storePort,
    boolean agentHostsStore,
    String jobName) {
  /// Returns what these variables say.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException if they are contradictory or incomplete
  static LaunchEnvironment of(Map<String, String> environment) {
    Variables variables = new Variables(environment);
    Optional<LaunchedBy.Found> found = LaunchedBy.find(variables);
    if (found.isEmpty()) {
      return new LaunchEnvironment(
          "", 0, 1, 0, 1, 0, 1, false, NodeAddress.loopback(), -1, false, "");
    }
    LaunchedBy launcher = found.get().launcher();
    Ranks ranks = found.get().ranks();
    boolean agent = variables.isTrue(JobVariables.USE_AGENT_STORE);
    boolean alone = ranks.worldSize() == 1 && !agent;
    boolean spansNodes = !isOneNode(launcher, ranks, variables);
    return new LaunchEnvironment(
        launcher.name(),
        ranks.rank(),
        ranks.worldSize(),
        ranks.localRank(),
        ranks.localWorldSize(),
        ranks.nodeRank(),
        ranks.nodes(),
        spansNodes,
        alone || (!spansNodes && !agent) ? NodeAddress.loopback() : StoreAddress.host(variables),
        alone ? -1 : StoreAddress.port(variables),
        agent,
        FailureRecords.cut(StoreAddress.jobName(variables), FailureRecords.MAX_NAME_CHARS));
  }

  private static boolean isOneNode(LaunchedBy launcher, Ranks ranks, Variables variables) {
    if (ranks.saysWhetherOneNode()) {
      return ranks.isOneNode();
    }
    return launcher != LaunchedBy.KUBERNETES
        && variables.text("MASTER_ADDR").map(StoreAddress::isLoopback).orElse(false);
  }
}
