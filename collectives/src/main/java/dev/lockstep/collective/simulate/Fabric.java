package dev.lockstep.collective.simulate;

import java.util.List;

/// What joins ranks: levels of links, innermost first. Ranks are placed densely: rank `r` is in
/// group `r / level.ranks()` of each level, so the last group may be a part of one. Immutable.
///
/// @param name as users write it after `--fabric`
/// @param compute what a rank takes for its steps
/// @param levels innermost first; each level's groups are whole groups of the one below, the last
///   level joins all ranks
public record Fabric(String name, Compute compute, List<Level> levels) {
  /// Checks that the levels nest.
  public Fabric {
    levels = List.copyOf(levels);
    if (levels.isEmpty() || levels.getLast().ranks() != Level.ALL) {
      throw new IllegalArgumentException(
          "the last level of a fabric joins all ranks: fabric=%s, levels=%d"
              .formatted(name, levels.size()));
    }
    for (int i = 1; i < levels.size(); i++) {
      Level inner = levels.get(i - 1);
      Level outer = levels.get(i);
      boolean nests =
          outer.ranks() > inner.ranks()
              && (outer.ranks() == Level.ALL || outer.ranks() % inner.ranks() == 0);
      if (!nests) {
        throw new IllegalArgumentException(
            "levels of a fabric do not nest: fabric=%s, level=%s, ranks=%d, levelBelow=%s, ranksBelow=%d"
                .formatted(name, outer.name(), outer.ranks(), inner.name(), inner.ranks()));
      }
    }
  }

  /// Returns the index of the level whose links join two ranks.
  public int level(int rank, int peer) {
    int last = levels.size() - 1;
    for (int i = 0; i < last; i++) {
      long size = levels.get(i).ranks();
      if (rank / size == peer / size) {
        return i;
      }
    }
    return last;
  }
}
