package dev.lockstep.train;

import dev.lockstep.device.RankGrid;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.graph.Graph;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The graphs of a run as they are before a device compiles them: what is compiled ahead of time.
///
/// A rank runs `lane` and `join`, which adds the sums of two lanes, `step`; `evaluation`,
/// `join-losses` and `mean-loss`; rank 0 `logits`. A stage of a pipeline has `forward` and, unless
/// it is the last, `backward` in the place of `lane`; where it holds several chunks of layers each
/// has its own, called `forward-chunk-3` by its number among all. Where ranks share out the
/// parameters (ZeRO 3) a lane's programs and `evaluation` are cut where others of them are read; a
/// stage's `step` and `mean-loss` are cut at collectives, since ranks of other programs meet there.
/// Parts are called `NAME-0`, `NAME-1`, … A program of no elements, the `join` of a rank that has
/// no part of a chunk's sums, is there but never compiled.
public final class RunGraphs {
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
  /// those of [#of], cut at their collectives. A lane whose gradients are reduced in buckets is cut
  /// where one is complete, and there are programs `join-bucket-0`, `join-bucket-1`, … that add
  /// buckets, one for each size.
  ///
  /// @param options layout, recomputation and size of buckets; the rest does not matter
  /// @param ranks world size
  /// @throws ConfigurationException as [#of]
  public static List<Group> betweenCollectives(Recipe recipe, TrainerOptions options, int ranks) {
    return groups(recipe, options, ranks, true);
  }

  /// Returns the graphs that every rank runs, with their collectives.
  ///
  /// @param options layout and recomputation; the rest does not matter
  /// @param ranks world size
  /// @throws ConfigurationException if the recipe does not fit the layout
  public static List<Group> of(Recipe recipe, TrainerOptions options, int ranks) {
    return groups(recipe, options, ranks, false);
  }

  private static List<Group> groups(Recipe recipe, TrainerOptions options, int ranks, boolean cut) {
    options.layout().check(recipe, ranks);
    Layout layout = options.layout().over(ranks);
    int stages = layout.size(Layout.PIPELINE);
    RankGraphs graphs =
        new RankGraphs(recipe, options.recompute(), layout, cut ? options.bucketBytes() : 0);
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
    graphs.forEach((name, graph) -> segments.putAll(RankGraphs.between(name, graph)));
    return segments;
  }

  private static List<Graph> oneIfAlike(List<Graph> graphs) {
    return graphs.stream().allMatch(graphs.getFirst()::equals)
        ? List.of(graphs.getFirst())
        : List.copyOf(graphs);
  }
}
