package dev.lockstep.collective.request;

import java.util.HashSet;
import java.util.List;
import java.util.Set;

/// Where the ranks of a communicator are: what an algorithm may know of the machines.
///
/// Levels are groups of consecutive ranks that are nearer to each other than to the others: with
/// levels `[4, 144]` ranks 0–3, 4–7, … are on one host each, and ranks 0–143, 144–287, … in one
/// rack. The last group of a level may be smaller than the rest.
///
/// @param ranks number of ranks, at least 1
/// @param levels group sizes in ranks from the innermost level out, each a multiple of the one
///   before and all less than `ranks`; empty if all ranks are equally near
/// @param peerMemory whether every rank reads every other rank's memory in place
public record Topology(int ranks, List<Integer> levels, boolean peerMemory) {
  /// Checks the numbers.
  public Topology {
    levels = List.copyOf(levels);
    if (ranks < 1) {
      throw new IllegalArgumentException("a topology needs a rank: ranks=" + ranks);
    }
    int inner = 1;
    for (int size : levels) {
      if (size <= inner || size % inner != 0 || size >= ranks) {
        throw new IllegalArgumentException(
            "levels are not groups of groups: ranks=%d, levels=%s".formatted(ranks, levels));
      }
      inner = size;
    }
  }

  /// Returns the topology of ranks that share one node.
  public static Topology oneNode(int ranks, boolean peerMemory) {
    return new Topology(ranks, List.of(), peerMemory);
  }

  /// Returns the topology of ranks on named hosts: one level, where each host has equally many
  /// consecutive ranks (the last one may have fewer), else none.
  public static Topology of(List<String> hosts, boolean peerMemory) {
    int ranks = hosts.size();
    int size = 1;
    while (size < ranks && hosts.get(size).equals(hosts.getFirst())) {
      size++;
    }
    boolean grouped = size > 1 && size < ranks;
    Set<String> seen = new HashSet<>();
    for (int rank = 0; grouped && rank < ranks; rank++) {
      grouped =
          rank % size == 0
              ? seen.add(hosts.get(rank))
              : hosts.get(rank).equals(hosts.get(rank - 1));
    }
    return new Topology(ranks, grouped ? List.of(size) : List.of(), peerMemory);
  }
}
