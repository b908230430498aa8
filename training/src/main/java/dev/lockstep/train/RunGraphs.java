package dev.lockstep.train;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.optim.StepPlace;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.parallel.LaneSums;
import java.util.LinkedHashMap;
import java.util.Map;

/// The graphs of a run as they are before a device compiles them, whole, with their collectives:
/// what is compiled ahead of time.
public final class RunGraphs {
  private RunGraphs() {}

  /// Returns the graphs that every rank runs: `lane`, `join` where a rank joins several lanes,
  /// `step`, `evaluation`, `mean-loss` and `logits`.
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
    if (LanePlan.of(split.ranks().getFirst()).slots() > 1) {
      long elements = StepPrograms.sums(grid, lane.uses()).elements();
      graphs.put("join", LaneSums.join(elements));
    }
    graphs.put("step", StepGraph.trace(lane.uses(), recipe.optimizer(), StepPlace.of(split, 0)));
    graphs.put("evaluation", programs.evaluation(sequences).graph());
    graphs.put("mean-loss", StepGraph.meanLoss(validation, 0));
    graphs.put("logits", programs.logits().graph());
    return graphs;
  }
}
