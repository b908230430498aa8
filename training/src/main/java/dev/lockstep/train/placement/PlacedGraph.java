package dev.lockstep.train.placement;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Value;
import java.util.Map;

/// The program of one rank of an axis, with the placement of what it was told.
///
/// @param graph what the rank runs
/// @param axis the axis and the rank's place on it
/// @param declared placements that do not follow from ops: those of inputs, of constants, and of
///   what was built from numbers of a rank's own
/// @param outputs placements of the outputs by name
public record PlacedGraph(
    Graph graph, AxisPlace axis, Map<Value, Placement> declared, Map<String, Placement> outputs) {
  /// Copies the maps.
  public PlacedGraph {
    declared = Map.copyOf(declared);
    outputs = Map.copyOf(outputs);
  }

  /// Infers every placement of `other`, a variant of this program with the same values, again.
  ///
  /// @throws IllegalArgumentException if an op of it has operands that do not fit, or an output has
  ///   another placement than here; the sentence names the op and the placements
  public void check(Graph other) {
    PlacementRules.check(this, other);
  }
}
