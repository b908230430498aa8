package dev.lockstep.train.optim;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.placement.AxisPlace;
import dev.lockstep.train.placement.ModelPlace;
import org.jspecify.annotations.Nullable;

/// The rank that a step program is for.
///
/// @param lanes which lanes each place on the data axis holds; with one place nothing is reduced
/// @param rank this rank's place on the data axis
/// @param model this rank's place on the axes that parts of layers are spread over
/// @param stage this rank's place on the axis that layers are spread over; null for all layers
/// @param context this rank's place on the axis that positions are spread over: its ranks hold the
///   same sums, and each may wish to stop
public record StepPlace(
    LaneSplit lanes, int rank, ModelPlace model, @Nullable StagePlace stage, AxisPlace context) {

  /// Returns the place of a rank that holds whole parameters.
  public static StepPlace of(LaneSplit lanes, int rank) {
    return new StepPlace(lanes, rank, ModelPlace.whole(), null, new AxisPlace("cp", 1, 0));
  }

  /// Returns whether layers are spread over several ranks.
  boolean isStaged() {
    return stage != null && stage.isStaged();
  }

  /// Returns the shape of what the rank holds of a parameter.
  Shape localShape(Parameter parameter) {
    return model.localShape(parameter);
  }

  /// Returns how many blocks of a parameter the rank holds.
  int localBlocks(Parameter parameter) {
    return model.localBlocks(parameter);
  }
}
