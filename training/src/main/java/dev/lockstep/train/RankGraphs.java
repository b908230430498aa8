package dev.lockstep.train;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphSplitter;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.LaneSums;
import dev.lockstep.train.parallel.SplitProgram;
import dev.lockstep.train.pipeline.Chunk;
import dev.lockstep.train.pipeline.StageChunks;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The graphs of each rank of a run, by what they do, whole but where the ranks of other programs
/// meet in them: a stage's step is cut at every collective, as its ranks meet those of other
/// stages, and a lane over gathered parameters is cut where it reads the next.
final class RankGraphs {
  /// What an evaluation sums over its batches.
  private static final FlatLayout LOSSES =
      FlatLayout.of(
          Map.of(ModelPrograms.LOSS_SUM, Shape.scalar(), ModelPrograms.COUNT, Shape.scalar()));

  private final Recipe recipe;
  private final ModelPrograms programs;
  private final ModelPrograms.Traced lane;
  private final ModelPrograms.Traced evaluation;
  private final Graph logits;
  private final LaneSplit lanes;
  private final LaneSplit validation;

  /// Traces the model.
  ///
  /// @param places of the data axis
  RankGraphs(Recipe recipe, Recompute recompute, int places) {
    this.recipe = recipe;
    programs = recipe.programs(recipe.model().model(recipe.blocks().tensor()), recompute);
    lane = programs.lane(recipe.batch().microBatch());
    evaluation = programs.evaluation(recipe.batch().microBatch());
    logits = programs.logits().graph();
    lanes = LaneSplit.contiguous(recipe.batch().lanes(), places);
    validation = LaneSplit.contiguous(recipe.batch().validationBatches(), places);
  }

  /// Returns the graphs of the rank at a place.
  Map<String, Graph> of(Grid grid) {
    if (grid.isStaged()) {
      return staged(grid);
    }
    Map<String, Graph> graphs = new LinkedHashMap<>();
    if (grid.isSharded()) {
      sharded(grid, graphs);
    } else {
      graphs.put("lane", grid.lay(lane));
      graphs.put("join", LaneSums.join(StepPrograms.sums(grid, lane.uses()).elements()));
      graphs.put(
          "step", StepGraph.trace(lane.uses(), recipe.optimizer(), grid.stepPlace(lanes, null)));
    }
    graphs.put("join-losses", LaneSums.join(LOSSES.elements()));
    addForward(grid, "evaluation", evaluation, graphs);
    graphs.put("mean-loss", StepGraph.meanLoss(validation, grid.data().rank()));
    graphs.put("logits", logits);
    return graphs;
  }

  private void sharded(Grid grid, Map<String, Graph> graphs) {
    addForward(grid, "lane", lane, graphs);
    GradientGroups groups = GradientGroups.of(grid, held(), List.of(lane.uses()), true);
    FlatLayout joined = grid.zero() == 1 ? groups.layout() : groups.shardLayout(grid.data().rank());
    graphs.put("join", LaneSums.join(joined.elements()));
    graphs.put("step", ShardUpdate.graph(recipe, grid, null, groups));
  }

  private HeldParameters held() {
    return HeldParameters.all(parameters());
  }

  private List<Parameter> parameters() {
    return lane.uses().stream().map(ParameterUse::parameter).distinct().toList();
  }

  private FlatLayout parameterLayout(Grid grid) {
    return ModelState.parameterLayout(grid, parameters());
  }

  private void addForward(
      Grid grid, String name, ModelPrograms.Traced traced, Map<String, Graph> graphs) {
    Graph laid = grid.lay(traced);
    if (grid.isGathered()) {
      GatherPlan plan =
          GatheredProgram.plan(laid, traced.uses(), grid.shards(held()), parameterLayout(grid));
      graphs.putAll(named(name, plan.segments()));
    } else {
      graphs.put(name, laid);
    }
  }

  private Map<String, Graph> staged(Grid grid) {
    Stages stages = Stages.of(grid, 1, programs, recipe.batch().microBatch());
    boolean isLast = grid.pipeline().rank() == grid.pipeline().ranks() - 1;
    Map<String, Graph> graphs = new LinkedHashMap<>();
    Chunk chunk = stages.chunks().chunks().getFirst();
    graphs.put("forward", chunk.forward());
    chunk.backward().ifPresent(backward -> graphs.put("backward", backward));
    graphs.put("join", LaneSums.join(StepPrograms.sums(grid, stages.own(), isLast).elements()));
    Graph step =
        StepGraph.trace(stages.own(), recipe.optimizer(), grid.stepPlace(lanes, stages.place()));
    graphs.putAll(between("step", step));
    ModelPrograms.Traced held = programs.stagedEvaluation(recipe.batch().microBatch());
    StageChunks evaluated = stages.chunks(held, ModelPrograms.LOSS_SUM);
    graphs.put("evaluation", evaluated.chunks().getFirst().forward());
    if (isLast) {
      graphs.put("join-losses", LaneSums.join(LOSSES.elements()));
    }
    Graph meanLoss = StepGraph.meanLoss(grid.stepPlace(validation, stages.place()));
    graphs.putAll(between("mean-loss", meanLoss));
    if (grid.pipeline().rank() == 0) {
      graphs.put("logits", logits);
    }
    return graphs;
  }

  /// Returns what a device is given of a graph where the host runs the collectives: the graph cut
  /// there, the parts called `NAME-0`, `NAME-1`, … if there are several.
  static Map<String, Graph> between(String name, Graph graph) {
    return named(name, SplitProgram.cut(graph, _ -> false));
  }

  private static Map<String, Graph> named(String name, GraphSplitter.Segments cut) {
    List<Graph> segments = new ArrayList<>();
    for (GraphSplitter.Part part : cut.parts()) {
      if (part instanceof GraphSplitter.Compute(Graph segment)) {
        segments.add(segment);
      }
    }
    Map<String, Graph> named = new LinkedHashMap<>();
    for (int i = 0; i < segments.size(); i++) {
      named.put(segments.size() == 1 ? name : name + "-" + i, segments.get(i));
    }
    return named;
  }
}
