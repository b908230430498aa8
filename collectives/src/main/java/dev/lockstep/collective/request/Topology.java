package dev.lockstep.collective.request;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Where the ranks of a communicator are: what an algorithm may know of the machines.
///
/// @param ranks number of ranks, at least 1
/// @param nodes for each rank the number of its node; empty if all are on one node
/// @param peerMemory whether every rank reads every other rank's memory in place
public record Topology(int ranks, List<Integer> nodes, boolean peerMemory) {
  /// Checks the counts.
  public Topology {
    nodes = List.copyOf(nodes);
    if (ranks < 1) {
      throw new IllegalArgumentException("a topology needs a rank: ranks=" + ranks);
    }
    if (!nodes.isEmpty() && nodes.size() != ranks) {
      throw new IllegalArgumentException(
          "nodes are not one per rank: ranks=" + ranks + ", nodes=" + nodes.size());
    }
  }

  /// Returns the topology of ranks that share one node.
  public static Topology oneNode(int ranks, boolean peerMemory) {
    return new Topology(ranks, List.of(), peerMemory);
  }

  /// Returns the topology of ranks on named hosts; nodes are numbered in the order of their names'
  /// first appearance.
  public static Topology of(List<String> hosts, boolean peerMemory) {
    Map<String, Integer> numbers = new HashMap<>();
    List<Integer> nodes =
        hosts.stream().map(host -> numbers.computeIfAbsent(host, _ -> numbers.size())).toList();
    return new Topology(hosts.size(), numbers.size() == 1 ? List.of() : nodes, peerMemory);
  }

  /// Returns the node of a rank.
  public int node(int rank) {
    return nodes.isEmpty() ? 0 : nodes.get(rank);
  }
}
