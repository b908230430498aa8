package dev.lockstep.train;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.StateShards;
import dev.lockstep.train.optim.StepPlace;
import dev.lockstep.train.placement.AxisLayout;
import dev.lockstep.train.placement.AxisPlace;
import dev.lockstep.train.placement.PlacedGraph;
import dev.lockstep.train.placement.Placement;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Where one rank stands in its layout, and what it holds of a model.
///
/// @param data place on the axis that lanes are spread over
/// @param tensor place on the axis that features are spread over
/// @param pipeline place on the axis that layers are spread over
/// @param zero what the ranks of the data axis share out
record Grid(AxisPlace data, AxisPlace tensor, AxisPlace pipeline, int zero) {
  /// Returns the place of a rank.
  static Grid of(Layout layout, int rank, int worldSize) {
    Layout whole = layout.over(worldSize);
    AxisPlace data = whole.place(Layout.DATA, rank);
    int zero = data.ranks() == 1 ? 0 : layout.zero();
    AxisPlace pipeline = whole.place(Layout.PIPELINE, rank);
    return new Grid(data, whole.place(Layout.TENSOR, rank), pipeline, zero);
  }

  /// Returns the place of a rank that holds everything.
  static Grid alone() {
    return new Grid(
        new AxisPlace(Layout.DATA, 1, 0),
        new AxisPlace(Layout.TENSOR, 1, 0),
        new AxisPlace(Layout.PIPELINE, 1, 0),
        0);
  }

  /// Whether ranks hold different parts of the model or of its optimizer's state.
  boolean holdsParts() {
    return isSplit() || isSharded() || isStaged();
  }

  /// Whether ranks hold different layers of the model.
  boolean isStaged() {
    return pipeline.ranks() > 1;
  }

  /// Whether ranks hold different parts of layers.
  boolean isSplit() {
    return tensor.ranks() > 1;
  }

  /// Whether ranks hold different parts of the optimizer's state.
  boolean isSharded() {
    return zero > 0;
  }

  /// Whether ranks hold different parts of the parameters, which are gathered to be used.
  boolean isGathered() {
    return zero == 3;
  }

  /// Returns how the optimizer's state is cut over the data axis; one shard without ZeRO.
  StateShards shards(List<Parameter> parameters) {
    StepPlace place = new StepPlace(LaneSplit.onePerRank(data.ranks()), data.rank(), tensor);
    if (!isSharded()) {
      return StateShards.whole(parameters, place);
    }
    return isGathered()
        ? StateShards.cutUnits(ParameterUnits.of(parameters), place, data.ranks())
        : StateShards.cut(parameters, place, data.ranks());
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
  Graph lay(ModelPrograms.Traced traced) {
    return isSplit() ? placed(traced).graph() : traced.graph();
  }

  /// Returns the program of this rank with its placements.
  PlacedGraph placed(ModelPrograms.Traced traced) {
    Map<String, Placement> inputs = new HashMap<>();
    Map<String, Placement> outputs = new HashMap<>();
    for (ParameterUse use : traced.uses()) {
      inputs.put(use.inputName(), placement(use.parameter()));
      outputs.put(use.gradientName(), placement(use.parameter()));
    }
    return AxisLayout.lay(traced.graph(), tensor, inputs, outputs);
  }
}
