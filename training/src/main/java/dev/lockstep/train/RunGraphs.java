package dev.lockstep.train;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphSplitter;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.optim.StepPlace;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.LaneSums;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// The graphs of a run as they are before a device compiles them, whole, with their collectives:
/// what is compiled ahead of time.
public final class RunGraphs {
  /// What a device is given whole, since there is never a collective in it.
  private static final Set<String> WHOLE = Set.of("join", "join-losses", "logits");

  /// What an evaluation sums over its batches.
  private static final FlatLayout LOSSES =
      FlatLayout.of(
          Map.of(ModelPrograms.LOSS_SUM, Shape.scalar(), ModelPrograms.COUNT, Shape.scalar()));

  private RunGraphs() {}

  /// Returns the graphs that a device of every rank is given where the host runs the collectives:
  /// those of [#of], cut at their collectives; the parts of `step` are `step-0`, `step-1`, …
  ///
  /// @param options layout and recomputation; the rest does not matter
  /// @param ranks world size
  /// @throws ConfigurationException as [#of]
  public static Map<String, Graph> betweenCollectives(
      Recipe recipe, TrainerOptions options, int ranks) {
    Map<String, Graph> graphs = new LinkedHashMap<>();
    of(recipe, options, ranks)
        .forEach(
            (name, graph) -> {
              if (WHOLE.contains(name)) {
                graphs.put(name, graph);
              } else {
                graphs.putAll(segments(name, graph));
              }
            });
    return graphs;
  }

  private static Map<String, Graph> segments(String name, Graph graph) {
    List<Graph> segments = new ArrayList<>();
    for (GraphSplitter.Part part : GraphSplitter.split(graph).parts()) {
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

  /// Returns the graphs that every rank runs: `lane` and `join`, which adds the sums of two lanes,
  /// `step`; `evaluation`, `join-losses` and `mean-loss`; `logits`.
  ///
  /// @param options layout and recomputation; the rest does not matter
  /// @param ranks world size
  /// @throws ConfigurationException if the recipe does not fit the layout, or the layout spreads a
  ///   model or its state over ranks, each of which then has graphs of its own
  public static Map<String, Graph> of(Recipe recipe, TrainerOptions options, int ranks) {
    Layout layout = options.layout();
    layout.check(recipe, ranks);
    Grid grid = Grid.of(layout, 0, ranks);
    if (grid.holdsParts() || grid.context().ranks() > 1) {
      throw new ConfigurationException(
          "--mesh",
          layout.words(),
          "every rank of this layout has programs of its own: --mesh %s, --zero %d (compile for data parallelism alone)"
              .formatted(layout.words(), layout.zero()));
    }
    int sequences = recipe.batch().microBatch();
    ModelPrograms programs =
        recipe.programs(recipe.model().model(recipe.blocks().tensor()), options.recompute());
    ModelPrograms.Traced lane = programs.lane(sequences);
    LaneSplit split = LaneSplit.contiguous(recipe.batch().lanes(), ranks);
    LaneSplit validation = LaneSplit.contiguous(recipe.batch().validationBatches(), ranks);
    Map<String, Graph> graphs = new LinkedHashMap<>();
    graphs.put("lane", lane.graph());
    graphs.put("join", LaneSums.join(StepPrograms.sums(grid, lane.uses()).elements()));
    graphs.put("join-losses", LaneSums.join(LOSSES.elements()));
    graphs.put("step", StepGraph.trace(lane.uses(), recipe.optimizer(), StepPlace.of(split, 0)));
    graphs.put("evaluation", programs.evaluation(sequences).graph());
    graphs.put("mean-loss", StepGraph.meanLoss(validation, 0));
    graphs.put("logits", programs.logits().graph());
    return graphs;
  }
}
