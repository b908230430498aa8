package dev.lockstep.job;

import java.util.List;

/// Where one rank stands in its job, once all have met.
///
/// @param hosts for each rank the name of its host
record Placement(
    int rank,
    int worldSize,
    int localRank,
    int localWorldSize,
    int nodeRank,
    int nodes,
    List<String> hosts) {
  Placement {
    hosts = List.copyOf(hosts);
  }

  String host() {
    return hosts.get(rank);
  }

  boolean isLocalLeader() {
    return hosts.indexOf(host()) == rank;
  }
}
