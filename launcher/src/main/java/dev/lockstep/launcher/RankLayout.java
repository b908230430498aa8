package dev.lockstep.launcher;

/// How many ranks a job has, and where.
///
/// @param nodes number of nodes
/// @param ranksPerNode number of ranks on each
public record RankLayout(int nodes, int ranksPerNode) {
  /// Checks the values.
  public RankLayout {
    if (nodes < 1 || ranksPerNode < 1) {
      throw new IllegalArgumentException(
          "a layout needs ranks: nodes=%d, ranksPerNode=%d".formatted(nodes, ranksPerNode));
    }
  }

  /// Returns the number of ranks.
  public int worldSize() {
    return Math.multiplyExact(nodes, ranksPerNode);
  }
}
