package dev.lockstep.job;

/// Which variables of a launcher say where a rank stands; empty where it does not say.
record RankVariables(
    String rank,
    String worldSize,
    String localRank,
    String localWorldSize,
    String nodeRank,
    String nodes) {

  /// What they say; -1 where they do not.
  record Ranks(
      int rank, int worldSize, int localRank, int localWorldSize, int nodeRank, int nodes) {
    boolean saysWhetherOneNode() {
      return worldSize == 1 || localWorldSize >= 0 || nodes >= 0;
    }

    boolean isOneNode() {
      return worldSize == 1 || nodes == 1 || localWorldSize == worldSize;
    }
  }

  /// Reads the variables.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException if one is missing or two contradict
  Ranks read(Variables variables) {
    Ranks ranks =
        new Ranks(
            variables.required(rank, worldSize),
            variables.required(worldSize, rank),
            optional(variables, localRank),
            optional(variables, localWorldSize),
            optional(variables, nodeRank),
            optional(variables, nodes));
    below(variables, rank, ranks.rank, worldSize, ranks.worldSize);
    below(variables, localRank, ranks.localRank, localWorldSize, ranks.localWorldSize);
    below(variables, nodeRank, ranks.nodeRank, nodes, ranks.nodes);
    below(variables, localWorldSize, ranks.localWorldSize - 1, worldSize, ranks.worldSize);
    below(variables, nodes, ranks.nodes - 1, worldSize, ranks.worldSize);
    checkNodes(variables, ranks);
    return ranks;
  }

  private static int optional(Variables variables, String key) {
    return key.isEmpty() ? -1 : variables.number(key);
  }

  private static void below(
      Variables variables, String key, int value, String boundKey, int bound) {
    if (value >= 0 && bound >= 0 && value >= bound) {
      throw variables.wrong(
          key,
          "variables contradict each other: %s=%s, %s=%d"
              .formatted(key, variables.text(key).orElse(""), boundKey, bound));
    }
  }

  private void checkNodes(Variables variables, Ranks ranks) {
    if (ranks.nodes < 0 || ranks.localWorldSize < 0) {
      return;
    }
    boolean allHere = ranks.localWorldSize == ranks.worldSize;
    if (allHere != (ranks.nodes == 1)) {
      throw variables.wrong(
          localWorldSize,
          "variables contradict each other: %s=%d, %s=%d, %s=%d"
              .formatted(
                  localWorldSize,
                  ranks.localWorldSize,
                  worldSize,
                  ranks.worldSize,
                  nodes,
                  ranks.nodes));
    }
  }
}
