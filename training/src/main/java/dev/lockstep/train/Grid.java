package dev.lockstep.train;

import dev.lockstep.graph.Graph;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.model.GptPrograms;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.placement.AxisLayout;
import dev.lockstep.train.placement.AxisPlace;
import dev.lockstep.train.placement.PlacedGraph;
import dev.lockstep.train.placement.Placement;
import java.util.HashMap;
import java.util.Map;

/// Where one rank stands in its layout, and what it holds of a model.
///
/// @param data place on the axis that lanes are spread over
/// @param tensor place on the axis that features are spread over
record Grid(AxisPlace data, AxisPlace tensor) {
  /// Returns the place of a rank.
  static Grid of(Layout layout, int rank, int worldSize) {
    Layout whole = layout.over(worldSize);
    return new Grid(whole.place(Layout.DATA, rank), whole.place(Layout.TENSOR, rank));
  }

  /// Returns the place of a rank that holds everything.
  static Grid alone() {
    return new Grid(new AxisPlace(Layout.DATA, 1, 0), new AxisPlace(Layout.TENSOR, 1, 0));
  }

  /// Whether ranks hold different parts of the model.
  boolean isSplit() {
    return tensor.ranks() > 1;
  }

  /// Returns how a parameter lies over the tensor axis.
  Placement placement(Parameter parameter) {
    return isSplit() ? Placement.of(parameter.split()) : Placement.replicate();
  }

  /// Returns the shape of what this rank holds of a parameter.
  Shape localShape(Parameter parameter) {
    return placement(parameter).localShape(parameter.shape(), tensor.ranks());
  }

  /// Returns the program of this rank for a program of one device.
  Graph lay(GptPrograms.Traced traced) {
    return isSplit() ? placed(traced).graph() : traced.graph();
  }

  /// Returns the program of this rank with its placements.
  PlacedGraph placed(GptPrograms.Traced traced) {
    Map<String, Placement> inputs = new HashMap<>();
    Map<String, Placement> outputs = new HashMap<>();
    for (ParameterUse use : traced.uses()) {
      inputs.put(use.inputName(), placement(use.parameter()));
      outputs.put(use.gradientName(), placement(use.parameter()));
    }
    return AxisLayout.lay(traced.graph(), tensor, inputs, outputs);
  }
}
