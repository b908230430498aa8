package dev.lockstep.train;

import dev.lockstep.graph.Graph;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.StagePlace;
import dev.lockstep.train.pipeline.Chunk;
import dev.lockstep.train.pipeline.StageBalance;
import dev.lockstep.train.pipeline.StageCut;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Which layers each stage of a pipeline holds, so that the slowest stage computes as little as may
/// be. The same on every rank.
///
/// @param grid the rank
/// @param lane the program of a lane on one device
/// @param cuts borders between the stages
/// @param uses what each stage uses of the parameters, in program order
record Stages(
    Grid grid, ModelPrograms.Traced lane, List<String> cuts, List<List<ParameterUse>> uses) {
  /// Spreads the layers of a model.
  static Stages of(Grid grid, ModelPrograms programs, int sequences) {
    ModelPrograms.Traced lane = programs.stagedLane(sequences);
    Set<String> data = data(lane);
    List<Long> costs = StageCut.costs(lane.graph(), data, ModelPrograms.LOSS_SUM);
    List<String> cuts = new ArrayList<>();
    for (int border : StageBalance.cuts(costs, grid.pipeline().ranks())) {
      cuts.add(ModelPrograms.border(border));
    }
    List<List<ParameterUse>> uses = new ArrayList<>();
    for (Chunk chunk : StageCut.cut(lane.graph(), cuts, data, ModelPrograms.LOSS_SUM)) {
      Set<String> inputs = chunk.outside().keySet();
      uses.add(lane.uses().stream().filter(use -> inputs.contains(use.inputName())).toList());
    }
    return new Stages(grid, lane, List.copyOf(cuts), List.copyOf(uses));
  }

  /// Inputs that are no weights.
  private static Set<String> data(ModelPrograms.Traced traced) {
    Set<String> names = new LinkedHashSet<>();
    traced.graph().inputs().forEach(input -> names.add(input.name()));
    traced.uses().forEach(use -> names.remove(use.inputName()));
    return names;
  }

  /// Returns the inputs of a lane that are no weights.
  Set<String> data() {
    return data(lane);
  }

  private int stage() {
    return grid.pipeline().rank();
  }

  /// Returns what this rank's stage uses.
  List<ParameterUse> own() {
    return uses.get(stage());
  }

  /// Returns what each stage holds, in program order.
  List<List<Parameter>> parameters() {
    return uses.stream()
        .map(held -> held.stream().map(ParameterUse::parameter).distinct().toList())
        .toList();
  }

  /// Returns the rank's place and what all stages hold.
  StagePlace place() {
    return new StagePlace(grid.pipeline(), parameters());
  }

  /// Returns this rank's programs of a lane.
  Chunk chunk() {
    return chunk(lane, ModelPrograms.LOSS_SUM);
  }

  /// Returns this rank's programs of a program that is cut as lanes are.
  ///
  /// @param end the output that the way forth ends with
  Chunk chunk(ModelPrograms.Traced traced, String end) {
    Graph laid = grid.lay(traced);
    return StageCut.cut(laid, cuts, data(traced), end).get(stage());
  }

  /// Returns the bindings of a stage's weights and data.
  static <T> Map<String, T> only(Map<String, T> bindings, Chunk chunk) {
    Map<String, T> found = new java.util.LinkedHashMap<>(bindings);
    found.keySet().retainAll(chunk.outside().keySet());
    return found;
  }
}
