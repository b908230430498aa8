package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;

/// How many ranks a job has, and where.
///
/// @param nodes number of nodes
/// @param ranksPerNode number of ranks on each
public record RankLayout(int nodes, int ranksPerNode) {
  // As many as schedules are simulated for.
  private static final int MOST_RANKS = 1 << 20;

  /// Checks the values.
  ///
  /// @throws ConfigurationException if there are more ranks than a job may have
  public RankLayout {
    if (nodes < 1 || ranksPerNode < 1) {
      throw new IllegalArgumentException(
          "a layout needs ranks: nodes=%d, ranksPerNode=%d".formatted(nodes, ranksPerNode));
    }
    if ((long) nodes * ranksPerNode > MOST_RANKS) {
      throw new ConfigurationException(
          "--nproc-per-node",
          Integer.toString(ranksPerNode),
          "job has too many ranks: --nnodes=%d, --nproc-per-node=%d, mostRanks=%d"
              .formatted(nodes, ranksPerNode, MOST_RANKS));
    }
  }

  /// Returns the number of ranks.
  public int worldSize() {
    return nodes * ranksPerNode;
  }
}
