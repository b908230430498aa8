package dev.lockstep.train;

import dev.lockstep.device.RankGrid;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.graph.Graph;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// The graphs of a run as they are before a device compiles them: what is compiled ahead of time.
///
/// A rank runs `lane` and `join`, which adds the sums of two lanes, `step`; `evaluation`,
/// `join-losses` and `mean-loss`; rank 0 `logits`. A stage of a pipeline has `forward` and, unless
/// it is the last, `backward` in the place of `lane`. Where ranks share out the parameters (ZeRO 3)
/// `lane` and `evaluation` are cut where others of them are read; a stage's `step` and `mean-loss`
/// are cut at collectives, since ranks of other programs meet there. Parts are called `NAME-0`,
/// `NAME-1`, …
public final class RunGraphs {
  /// What a device is given whole, since there is never a collective in it.
  private static final Set<String> WHOLE = Set.of("join", "join-losses", "logits");

  private RunGraphs() {}

  /// The graphs of the ranks that run the same programs: all ranks, or those of one stage of a
  /// pipeline.
  ///
  /// @param name empty, or `stage-0`, `stage-1`, …
  /// @param ranks those ranks as a grid of their own, in the order of their numbers
  /// @param graphs by the programs' names: the graph of each rank of the grid, or one where all
  ///   have the same
  public record Group(String name, RankGrid ranks, Map<String, List<Graph>> graphs) {}

  /// Returns the graphs that a device of every rank is given where the host runs the collectives:
  /// those of [#of], cut at their collectives.
  ///
  /// @param options layout and recomputation; the rest does not matter
  /// @param ranks world size
  /// @throws ConfigurationException as [#of]
  public static List<Group> betweenCollectives(Recipe recipe, TrainerOptions options, int ranks) {
    return groups(recipe, options, ranks, true);
  }

  /// Returns the graphs that every rank runs, with their collectives.
  ///
  /// @param options layout and recomputation; the rest does not matter
  /// @param ranks world size
  /// @throws ConfigurationException if the recipe does not fit the layout, or stages of a pipeline
  ///   share out their state or take several chunks of layers in turn
  public static List<Group> of(Recipe recipe, TrainerOptions options, int ranks) {
    return groups(recipe, options, ranks, false);
  }

  private static List<Group> groups(Recipe recipe, TrainerOptions options, int ranks, boolean cut) {
    options.layout().check(recipe, ranks);
    Layout layout = options.layout().over(ranks);
    int stages = layout.size(Layout.PIPELINE);
    if (stages > 1 && (layout.zero() > 0 || layout.chunks() > 1)) {
      throw new ConfigurationException(
          "--mesh",
          layout.words(),
          "programs of stages with --zero or several chunks cannot be written ahead of time: --mesh %s, --zero %d, chunks %d (leave out --zero and --schedule interleaved, or pp)"
              .formatted(layout.words(), layout.zero(), layout.chunks()));
    }
    RankGraphs graphs = new RankGraphs(recipe, options.recompute(), layout.size(Layout.DATA));
    List<Group> groups = new ArrayList<>();
    for (int stage = 0; stage < stages; stage++) {
      Map<String, List<Graph>> byName = new LinkedHashMap<>();
      for (int rank = 0; rank < ranks; rank++) {
        Grid grid = Grid.of(layout, rank, ranks);
        if (grid.pipeline().rank() == stage) {
          (cut ? cut(graphs.of(grid)) : graphs.of(grid))
              .forEach(
                  (name, graph) -> byName.computeIfAbsent(name, _ -> new ArrayList<>()).add(graph));
        }
      }
      byName.replaceAll((_, each) -> oneIfAlike(each));
      groups.add(new Group(stages == 1 ? "" : "stage-" + stage, layout.stage(), byName));
    }
    return groups;
  }

  private static Map<String, Graph> cut(Map<String, Graph> graphs) {
    Map<String, Graph> segments = new LinkedHashMap<>();
    graphs.forEach(
        (name, graph) -> {
          if (WHOLE.contains(name)) {
            segments.put(name, graph);
          } else {
            segments.putAll(RankGraphs.between(name, graph));
          }
        });
    return segments;
  }

  private static List<Graph> oneIfAlike(List<Graph> graphs) {
    return graphs.stream().allMatch(graphs.getFirst()::equals)
        ? List.of(graphs.getFirst())
        : List.copyOf(graphs);
  }
}
