package dev.lockstep.train;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.StagePlace;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.pipeline.Chunk;
import dev.lockstep.train.pipeline.PipelineLanes;
import dev.lockstep.train.pipeline.PipelinePlan;
import dev.lockstep.train.pipeline.PipelineSchedule;
import dev.lockstep.train.pipeline.StageBalance;
import dev.lockstep.train.pipeline.StageChunks;
import dev.lockstep.train.pipeline.StageCut;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;

/// Which layers each stage of a pipeline holds: they are cut into chunks, so that the costliest
/// computes as little as may be, and chunks are dealt out to the stages in turn. The same on every
/// rank.
///
/// @param grid the rank
/// @param lane the program of a lane on one device
/// @param cuts borders between the chunks
/// @param layers how many layers each chunk has
/// @param uses what each chunk uses of the parameters, in program order
record Stages(
    Grid grid,
    ModelPrograms.Traced lane,
    List<String> cuts,
    List<Integer> layers,
    List<List<ParameterUse>> uses) {
  /// Spreads the layers of a model.
  ///
  /// @param perStage chunks of each stage
  static Stages of(Grid grid, int perStage, ModelPrograms programs, int sequences) {
    ModelPrograms.Traced lane = programs.stagedLane(sequences);
    Set<String> data = data(lane);
    List<Long> costs = StageCut.costs(lane.graph(), data, ModelPrograms.LOSS_SUM);
    List<String> cuts = new ArrayList<>();
    List<Integer> layers = new ArrayList<>();
    int first = 0;
    for (int border : StageBalance.cuts(costs, perStage * grid.pipeline().ranks())) {
      cuts.add(ModelPrograms.border(border));
      layers.add(border + 1 - first);
      first = border + 1;
    }
    layers.add(costs.size() - first);
    List<List<ParameterUse>> uses = new ArrayList<>();
    for (Chunk chunk : StageCut.cut(lane.graph(), cuts, data, ModelPrograms.LOSS_SUM)) {
      Set<String> inputs = chunk.outside().keySet();
      uses.add(lane.uses().stream().filter(use -> inputs.contains(use.inputName())).toList());
    }
    return new Stages(grid, lane, List.copyOf(cuts), List.copyOf(layers), List.copyOf(uses));
  }

  /// Inputs that are no weights.
  private static Set<String> data(ModelPrograms.Traced traced) {
    Set<String> names = new LinkedHashSet<>();
    traced.graph().inputs().forEach(input -> names.add(input.name()));
    traced.uses().forEach(use -> names.remove(use.inputName()));
    return names;
  }

  private Set<String> data() {
    return data(lane);
  }

  private int count() {
    return grid.pipeline().ranks();
  }

  /// Returns how many chunks each stage has.
  int perStage() {
    return uses.size() / count();
  }

  /// Whether this rank's stage computes the loss.
  boolean isLast() {
    return grid.pipeline().rank() == count() - 1;
  }

  /// Returns what is of the chunks of a stage.
  private <T> List<T> of(int stage, List<T> chunks) {
    return IntStream.range(0, perStage()).mapToObj(i -> chunks.get(i * count() + stage)).toList();
  }

  /// Returns how many layers this rank's stage has.
  int ownLayers() {
    return of(grid.pipeline().rank(), layers).stream().mapToInt(Integer::intValue).sum();
  }

  /// Returns what each chunk of this rank's stage uses, in program order.
  List<List<ParameterUse>> ownByChunk() {
    return of(grid.pipeline().rank(), uses);
  }

  /// Returns what this rank's stage uses.
  List<ParameterUse> own() {
    return ownByChunk().stream().flatMap(List::stream).toList();
  }

  private static List<Parameter> parameters(List<ParameterUse> uses) {
    return uses.stream().map(ParameterUse::parameter).distinct().toList();
  }

  /// Returns what each stage holds.
  List<HeldParameters> held() {
    List<List<List<Parameter>>> chunks = new ArrayList<>();
    for (int stage = 0; stage < count(); stage++) {
      chunks.add(of(stage, uses).stream().map(Stages::parameters).toList());
    }
    List<Parameter> shared = new ArrayList<>();
    chunks.getFirst().forEach(shared::addAll);
    shared.retainAll(chunks.getLast().stream().flatMap(List::stream).toList());
    return chunks.stream().map(stage -> held(stage, shared)).toList();
  }

  private static HeldParameters held(List<List<Parameter>> chunks, List<Parameter> shared) {
    List<List<Parameter>> runs = new ArrayList<>();
    List<Parameter> own = new ArrayList<>();
    for (List<Parameter> chunk : chunks) {
      List<Parameter> run = new ArrayList<>();
      for (Parameter parameter : chunk) {
        boolean isNext =
            !run.isEmpty() && shared.contains(run.getLast()) != shared.contains(parameter);
        if (run.isEmpty() || isNext) {
          run = new ArrayList<>();
          runs.add(run);
        }
        run.add(parameter);
        if (shared.contains(parameter)) {
          own.add(parameter);
        }
      }
    }
    return new HeldParameters(runs, own);
  }

  /// Returns the rank's place and what all stages hold.
  StagePlace place() {
    List<List<Parameter>> byStage = held().stream().map(HeldParameters::parameters).toList();
    List<ParameterUse> all = uses.stream().flatMap(List::stream).toList();
    return new StagePlace(grid.pipeline(), byStage, parameters(all));
  }

  /// Returns the plan of a step of this rank's pipeline.
  ///
  /// @param lanes lanes of the recipe
  PipelinePlan plan(PipelineSchedule schedule, int lanes) {
    int pipelines = grid.data().ranks();
    int index = grid.data().rank();
    PipelineLanes own =
        grid.zero() > 1
            ? PipelineLanes.inRounds(lanes, pipelines, index, grid.isGathered())
            : PipelineLanes.summed(
                LanePlan.of(LaneSplit.contiguous(lanes, pipelines).ranks().get(index)));
    return PipelinePlan.training(schedule, count(), perStage(), own);
  }

  /// Returns this rank's programs of a lane, by its chunks.
  StageChunks chunks() {
    return chunks(lane, ModelPrograms.LOSS_SUM);
  }

  /// Returns this rank's programs of a program that is cut as lanes are.
  ///
  /// @param end the output that the way forth ends with
  StageChunks chunks(ModelPrograms.Traced traced, String end) {
    List<Chunk> all = StageCut.cut(grid.lay(traced), cuts, data(traced), end);
    return new StageChunks(grid.pipeline(), of(grid.pipeline().rank(), all), data());
  }

  /// Returns the bindings of a stage's weights and data.
  static <T> Map<String, T> only(Map<String, T> bindings, StageChunks chunks) {
    Map<String, T> found = new LinkedHashMap<>(bindings);
    found.keySet().retainAll(chunks.outside());
    return found;
  }
}
