package dev.lockstep.train;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphSplitter;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatRange;
import dev.lockstep.train.parallel.LaneSums;
import dev.lockstep.train.parallel.SplitProgram;
import dev.lockstep.train.pipeline.Chunk;
import dev.lockstep.train.pipeline.StageChunks;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/// The graphs of each rank of a run, by what they do, whole but where the ranks of other programs
/// meet in them: a stage's step is cut at every collective, as its ranks meet those of other
/// stages, a lane over gathered parameters is cut where it reads the next, and one whose gradients
/// the host reduces in buckets where a bucket is complete.
final class RankGraphs {
  /// What an evaluation sums over its batches.
  private static final FlatLayout LOSSES =
      FlatLayout.of(
          Map.of(ModelPrograms.LOSS_SUM, Shape.scalar(), ModelPrograms.COUNT, Shape.scalar()));

  private final Recipe recipe;
  private final long bucketBytes;
  private final int perStage;
  private final ModelPrograms programs;
  private final ModelPrograms.Traced lane;
  private final ModelPrograms.Traced evaluation;
  private final Graph logits;
  private final LaneSplit lanes;
  private final LaneSplit validation;

  /// Traces the model.
  ///
  /// @param layout over all ranks
  /// @param bucketBytes as in [TrainerOptions]; 0 where devices reduce gradients themselves
  RankGraphs(Recipe recipe, Recompute recompute, Layout layout, long bucketBytes) {
    this.recipe = recipe;
    this.bucketBytes = bucketBytes;
    perStage = layout.chunks();
    int places = layout.size(Layout.DATA);
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
      whole(grid, graphs);
    }
    graphs.put("join-losses", LaneSums.join(LOSSES.elements()));
    addForward(grid, "evaluation", evaluation, graphs);
    graphs.put("mean-loss", StepGraph.meanLoss(validation, grid.data().rank()));
    graphs.put("logits", logits);
    return graphs;
  }

  /// The programs of ranks that hold all of the state: of lanes whose gradients are reduced in
  /// buckets the last one's, joins by size among them.
  private void whole(Grid grid, Map<String, Graph> graphs) {
    GradientReduction reduction = GradientReduction.plan(lane, grid, bucketBytes);
    FlatLayout sums = reduction.sums();
    reduction
        .buckets()
        .ifPresentOrElse(
            buckets -> {
              graphs.putAll(named("lane", buckets.segments()));
              List<Long> sizes = BucketedLanes.joinSizes(buckets, sums);
              for (int i = 0; i < sizes.size(); i++) {
                graphs.put("join-bucket-" + i, LaneSums.join(sizes.get(i)));
              }
            },
            () -> graphs.put("lane", reduction.lane()));
    graphs.put("join", LaneSums.join(sums.elements()));
    graphs.put("step", reduction.step(recipe.optimizer(), grid.stepPlace(lanes, null)));
  }

  private void sharded(Grid grid, Map<String, Graph> graphs) {
    addForward(grid, "lane", lane, graphs);
    GradientGroups groups = GradientGroups.of(grid, held(), List.of(lane.uses()), true);
    FlatLayout joined = grid.zero() == 1 ? groups.layout() : groups.shardLayout(grid.data().rank());
    graphs.put("join", LaneSums.join(joined.elements()));
    graphs.put("step", ShardUpdate.graph(recipe, grid, null, groups));
  }

  private HeldParameters held() {
    return HeldParameters.all(
        lane.uses().stream().map(ParameterUse::parameter).distinct().toList());
  }

  private void addForward(
      Grid grid, String name, ModelPrograms.Traced traced, Map<String, Graph> graphs) {
    Graph laid = grid.lay(traced);
    if (grid.isGathered()) {
      graphs.putAll(gathered(name, laid, traced.uses(), grid, held()));
    } else {
      graphs.put(name, laid);
    }
  }

  /// A program over parameters that are gathered as it reads them, cut there.
  private static Map<String, Graph> gathered(
      String name, Graph graph, List<ParameterUse> uses, Grid grid, HeldParameters held) {
    FlatLayout layout = ModelState.parameterLayout(grid, held.parameters());
    return named(name, GatheredProgram.plan(graph, uses, grid.shards(held), layout).segments());
  }

  private Map<String, Graph> staged(Grid grid) {
    Stages stages = Stages.of(grid, perStage, programs, recipe.batch().microBatch());
    HeldParameters held = stages.held().get(grid.pipeline().rank());
    GradientGroups groups = GradientGroups.of(grid, held, stages.ownByChunk(), stages.isLast());
    StageChunks chunks = stages.chunks();
    List<Long> sums = sums(grid, stages, groups);
    Map<String, Graph> graphs = new LinkedHashMap<>();
    for (int own = 0; own < chunks.count(); own++) {
      Chunk chunk = chunks.chunks().get(own);
      addWay(part("forward", chunks, own), chunk.forward(), stages, held, graphs);
      String back = part("backward", chunks, own);
      chunk.backward().ifPresent(graph -> addWay(back, graph, stages, held, graphs));
      graphs.put(part("join", chunks, own), LaneSums.join(sums.get(own)));
    }
    Graph step =
        grid.isSharded()
            ? ShardUpdate.graph(recipe, grid, stages, groups)
            : StepGraph.trace(
                stages.own(), recipe.optimizer(), grid.stepPlace(lanes, stages.place()));
    graphs.putAll(between("step", step));
    ModelPrograms.Traced traced = programs.stagedEvaluation(recipe.batch().microBatch());
    StageChunks evaluated = stages.chunks(traced, ModelPrograms.LOSS_SUM);
    for (int own = 0; own < chunks.count(); own++) {
      Graph graph = evaluated.chunks().get(own).forward();
      addWay(part("evaluation", chunks, own), graph, stages, held, graphs);
    }
    if (stages.isLast()) {
      graphs.put("join-losses", LaneSums.join(LOSSES.elements()));
    }
    Graph meanLoss = StepGraph.meanLoss(grid.stepPlace(validation, stages.place()));
    graphs.putAll(between("mean-loss", meanLoss));
    if (grid.pipeline().rank() == 0) {
      graphs.put("logits", logits);
    }
    return graphs;
  }

  /// What a program of one of the stage's chunks is called.
  private static String part(String name, StageChunks chunks, int own) {
    return chunks.count() == 1 ? name : name + "-chunk-" + chunks.number(own);
  }

  private static void addWay(
      String name, Graph graph, Stages stages, HeldParameters held, Map<String, Graph> graphs) {
    if (stages.grid().isGathered()) {
      graphs.putAll(gathered(name, graph, stages.own(), stages.grid(), held));
    } else {
      graphs.put(name, graph);
    }
  }

  /// How many elements each chunk's sums have on this rank, which it joins by the lanes' tree.
  private static List<Long> sums(Grid grid, Stages stages, GradientGroups groups) {
    if (grid.zero() > 1) {
      return IntStream.range(0, groups.chunks())
          .mapToObj(chunk -> groups.shardElements(chunk, grid.data().rank()))
          .toList();
    }
    FlatLayout layout =
        grid.isSharded() ? groups.layout() : StepPrograms.sums(grid, stages.own(), stages.isLast());
    return FlatRange.cut(layout, StagedShards.firsts(stages)).stream()
        .map(range -> range.end() - range.first())
        .toList();
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
