package dev.lockstep.device;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.util.List;

/// A collective among the ranks of a [DeviceGroup], without its tensors: the same on every rank.
/// Tensors are vectors; parts lie one after another in rank order.
public sealed interface DeviceCollective {
  /// Joins the subtrees that ranks bring, for every rank.
  ///
  /// @param dtype type of the elements
  /// @param op how they are joined
  /// @param lanes which subtrees each rank brings, one tensor for each; a rank may bring none
  /// @param elements length of each tensor and of the result
  record AllReduce(DType dtype, ReduceOp op, LaneSplit lanes, long elements)
      implements DeviceCollective {}

  /// Joins the subtrees that ranks bring, and leaves each rank a part.
  ///
  /// @param dtype type of the elements
  /// @param op how they are joined
  /// @param lanes which subtrees each rank brings, one tensor for each; a rank may bring none
  /// @param counts elements of each rank's part; may be 0
  record ReduceScatter(DType dtype, ReduceOp op, LaneSplit lanes, List<Long> counts)
      implements DeviceCollective {
    /// Copies the list.
    public ReduceScatter {
      counts = List.copyOf(counts);
    }
  }

  /// Gathers the parts of all ranks on every rank.
  ///
  /// @param dtype type of the elements
  /// @param counts elements of each rank's part; may be 0
  record AllGather(DType dtype, List<Long> counts) implements DeviceCollective {
    /// Copies the list.
    public AllGather {
      counts = List.copyOf(counts);
    }
  }

  /// Returns the name, as the host's collectives have it.
  default String label() {
    return switch (this) {
      case AllReduce _ -> "all_reduce";
      case ReduceScatter _ -> "reduce_scatter";
      case AllGather _ -> "all_gather";
    };
  }
}
