package dev.lockstep.graph;

import dev.lockstep.graph.SumTree.Subtree;
import java.util.AbstractList;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.RandomAccess;
import org.jspecify.annotations.Nullable;

/// Which lanes of a sum each rank holds, as complete subtrees of T(lanes).
///
/// @param lanes number of leaves of the tree
/// @param ranks for each rank its subtrees, ascending; together they cover every lane exactly once
public record LaneSplit(int lanes, List<List<Subtree>> ranks) {
  /// One leaf per rank, whatever the number of ranks, without memory for each.
  private static final class Leaves extends AbstractList<List<Subtree>> implements RandomAccess {
    private final int size;

    Leaves(int size) {
      this.size = size;
    }

    @Override
    public List<Subtree> get(int rank) {
      return List.of(new Subtree(Objects.checkIndex(rank, size), 1));
    }

    @Override
    public int size() {
      return size;
    }

    @Override
    public boolean equals(@Nullable Object other) {
      return other instanceof Leaves leaves ? size == leaves.size : super.equals(other);
    }

    @Override
    public int hashCode() {
      return super.hashCode();
    }
  }

  /// Checks that every lane is held exactly once, every subtree is one of T(lanes) and a rank's
  /// ascend.
  public LaneSplit {
    if (!(ranks instanceof Leaves)) {
      ranks = checked(lanes, ranks);
    }
  }

  private static List<List<Subtree>> checked(int lanes, List<List<Subtree>> given) {
    List<List<Subtree>> ranks = given.stream().map(List::copyOf).toList();
    boolean[] held = new boolean[lanes];
    for (List<Subtree> subtrees : ranks) {
      int end = 0;
      for (Subtree subtree : subtrees) {
        if (!SumTree.cover(lanes, subtree.first(), subtree.end()).equals(List.of(subtree))) {
          throw new IllegalArgumentException(
              "not a subtree of the lane tree: lanes=" + lanes + ", subtree=" + subtree);
        }
        for (int lane = subtree.first(); lane < subtree.end(); lane++) {
          if (held[lane]) {
            throw new IllegalArgumentException("lane is held twice: lane=" + lane);
          }
          held[lane] = true;
        }
        if (subtree.first() < end) {
          throw new IllegalArgumentException(
              "a rank's subtrees do not ascend: subtree=%s, laneBefore=%d"
                  .formatted(subtree, end - 1));
        }
        end = subtree.end();
      }
    }
    for (int lane = 0; lane < lanes; lane++) {
      if (!held[lane]) {
        throw new IllegalArgumentException(
            "lane is held by no rank: lane=" + lane + ", lanes=" + lanes);
      }
    }
    boolean onePerRank = ranks.size() == lanes;
    for (int rank = 0; onePerRank && rank < lanes; rank++) {
      onePerRank = ranks.get(rank).equals(List.of(new Subtree(rank, 1)));
    }
    return onePerRank ? new Leaves(lanes) : ranks;
  }

  /// Returns whether rank `r` holds leaf `r` and nothing else.
  public boolean isOnePerRank() {
    return ranks instanceof Leaves;
  }

  /// Returns whether each rank's leaves are one subtree of the sum, so that ranks are joined by
  /// single terms.
  public boolean isOneSubtreePerRank() {
    return ranks.stream().allMatch(held -> held.size() == 1);
  }

  /// Returns the split into contiguous ranges, the first `lanes % ranks` ranks holding one lane
  /// more.
  ///
  /// @throws IllegalArgumentException if there are more ranks than lanes
  public static LaneSplit contiguous(int lanes, int ranks) {
    if (ranks < 1 || ranks > lanes) {
      throw new IllegalArgumentException(
          "world size must be between 1 and the number of lanes: ranks="
              + ranks
              + ", lanes="
              + lanes);
    }
    List<List<Subtree>> split = new ArrayList<>();
    for (int rank = 0; rank < ranks; rank++) {
      split.add(SumTree.cover(lanes, start(lanes, ranks, rank), start(lanes, ranks, rank + 1)));
    }
    return new LaneSplit(lanes, split);
  }

  /// Returns the split of a plain reduction: one leaf per rank.
  public static LaneSplit onePerRank(int ranks) {
    if (ranks < 1) {
      throw new IllegalArgumentException("a sum needs a rank: ranks=" + ranks);
    }
    return new LaneSplit(ranks, new Leaves(ranks));
  }

  private static int start(int lanes, int ranks, int rank) {
    return rank * (lanes / ranks) + Math.min(rank, lanes % ranks);
  }
}
