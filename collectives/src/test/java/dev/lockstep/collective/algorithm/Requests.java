package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/// Requests that tests use.
public final class Requests {
  private Requests() {}

  public static CollectiveRequest allReduce(
      long elements, boolean inPlace, LaneSplit lanes, boolean peerMemory, Mode mode) {
    Topology topology = Topology.oneNode(lanes.ranks().size(), peerMemory);
    return CollectiveRequest.allReduce(
        DType.F32, new ReduceOp.Sum(), elements, inPlace, topology, lanes, mode);
  }

  /// Returns lanes dealt to ranks at random, as the fewest subtrees of each rank's runs; ranks may
  /// get none.
  public static LaneSplit scattered(int lanes, int ranks, long seed) {
    Random random = new Random(seed);
    int[] holder = random.ints(lanes, 0, ranks).toArray();
    List<List<Subtree>> split = new ArrayList<>();
    for (int rank = 0; rank < ranks; rank++) {
      List<Subtree> held = new ArrayList<>();
      for (int lane = 0; lane < lanes; lane++) {
        int end = lane;
        while (end < lanes && holder[end] == rank) {
          end++;
        }
        held.addAll(SumTree.cover(lanes, lane, end));
        lane = Math.max(lane, end - 1);
      }
      split.add(held);
    }
    return new LaneSplit(lanes, split);
  }

  /// Returns lanes in rounds: at round `t` rank `r` holds lane `t * ranks + r`.
  public static LaneSplit interleaved(int lanes, int ranks) {
    List<List<Subtree>> split = new ArrayList<>();
    for (int rank = 0; rank < ranks; rank++) {
      List<Subtree> held = new ArrayList<>();
      for (int lane = rank; lane < lanes; lane += ranks) {
        held.add(new Subtree(lane, 1));
      }
      split.add(held);
    }
    return new LaneSplit(lanes, split);
  }
}
