package dev.lockstep.device.cuda;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.SumTree.Subtree;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/// A subtree of lanes as `join_lanes.cu` joins it.
///
/// @param rank who brings it
/// @param index its place among those that the rank brings
/// @param first its first lane
/// @param level the power of two that it has lanes, or -1 for what is left over of the tree
record LaneLeaf(int rank, int index, int first, int level) {
  /// Subtrees that the kernel takes (`LS_SUBTREES`).
  static final int MOST = 128;

  /// Lanes that the kernel takes: below 2 to the power of `LS_LANE_LEVELS`.
  static final int MOST_LANES = 4095;

  /// Returns the subtrees of all ranks, ascending.
  static List<LaneLeaf> of(LaneSplit lanes) {
    List<LaneLeaf> leaves = new ArrayList<>();
    for (int rank = 0; rank < lanes.ranks().size(); rank++) {
      List<Subtree> held = lanes.ranks().get(rank);
      for (int i = 0; i < held.size(); i++) {
        int size = held.get(i).size();
        int level = Integer.bitCount(size) == 1 ? Integer.numberOfTrailingZeros(size) : -1;
        leaves.add(new LaneLeaf(rank, i, held.get(i).first(), level));
      }
    }
    leaves.sort(Comparator.comparingInt(LaneLeaf::first));
    return leaves;
  }

  static int count(LaneSplit lanes) {
    return lanes.ranks().stream().mapToInt(List::size).sum();
  }

  /// Whether the kernel can join them.
  static boolean fit(LaneSplit lanes) {
    return lanes.lanes() <= MOST_LANES && count(lanes) <= MOST;
  }
}
