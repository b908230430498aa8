package dev.lockstep.device.neuron.hlo;

/// In which order sums over ranks are added.
public enum SumOrder {
  /// By the tree of the lanes, from parts that are gathered: the same bits on any number of ranks.
  LANE_TREE,
  /// As the compiler's own reductions do it.
  COMPILER
}
