package dev.lockstep.train;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.StateShards;
import dev.lockstep.train.optim.StateShards.Piece;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatTensors;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// How a lane's gradients lie so that a shard of the state has its gradients side by side: for each
/// unit that the state is cut by, a group has the gradients of each parameter's first use, in the
/// order of the parameters, the next that of their second uses. A tied weight's uses thus are
/// reduced apart and added afterwards, as without shards.
final class GradientGroups {
  private final FlatLayout layout;
  private final List<List<ParameterUse>> groups;
  private final List<Parameter> parameters;
  private final Map<Parameter, Integer> useCounts;
  private final StateShards shards;
  private final Grid grid;

  private GradientGroups(Grid grid, List<Parameter> parameters, List<List<ParameterUse>> groups) {
    this.grid = grid;
    this.parameters = parameters;
    this.groups = groups;
    this.useCounts = new LinkedHashMap<>();
    this.shards = grid.shards(parameters);
    Map<String, Shape> shapes = new LinkedHashMap<>();
    for (List<ParameterUse> group : groups) {
      for (ParameterUse use : group) {
        useCounts.merge(use.parameter(), 1, Integer::sum);
        shapes.put(use.gradientName(), grid.localShape(use.parameter()));
      }
    }
    shapes.put(StepGraph.LOSS_SUM, Shape.scalar());
    shapes.put(StepGraph.COUNT, Shape.scalar());
    layout = FlatLayout.of(shapes);
  }

  /// Groups the uses of parameters.
  ///
  /// @param order has the parameters in the order in which they lie
  static GradientGroups of(Grid grid, FlatLayout order, List<ParameterUse> uses) {
    List<Parameter> parameters =
        uses.stream()
            .map(ParameterUse::parameter)
            .distinct()
            .sorted((a, b) -> Long.compare(order.offset(a.name()), order.offset(b.name())))
            .toList();
    List<List<ParameterUse>> groups = new ArrayList<>();
    for (List<Parameter> unit : grid.shards(parameters).units()) {
      groups.addAll(groups(unit, uses));
    }
    return new GradientGroups(grid, parameters, groups);
  }

  /// The first uses of a unit's parameters, the second ones, and so on.
  private static List<List<ParameterUse>> groups(List<Parameter> unit, List<ParameterUse> uses) {
    List<List<ParameterUse>> groups = new ArrayList<>();
    for (Parameter parameter : unit) {
      int use = 0;
      for (ParameterUse each : uses) {
        if (each.parameter().equals(parameter)) {
          if (groups.size() == use) {
            groups.add(new ArrayList<>());
          }
          groups.get(use++).add(each);
        }
      }
    }
    return groups;
  }

  /// Returns how the wish to stop lies in memory.
  static FlatLayout stopLayout() {
    return FlatLayout.of(Map.of(StepGraph.STOP, Shape.scalar()));
  }

  /// Returns what a shard of a group is called.
  static String shardName(int group) {
    return "group " + group;
  }

  /// Returns where a lane's gradients lie.
  FlatLayout layout() {
    return layout;
  }

  /// Returns the parameters in the order in which they lie.
  List<Parameter> parameters() {
    return parameters;
  }

  /// Returns how often each parameter is used.
  Map<Parameter, Integer> useCounts() {
    return useCounts;
  }

  /// Returns the number of groups.
  int count() {
    return groups.size();
  }

  private long first(int group) {
    return element(groups.get(group).getFirst());
  }

  private long end(int group) {
    return group + 1 < groups.size()
        ? first(group + 1)
        : layout.offset(StepGraph.LOSS_SUM) / DType.F32.bytes();
  }

  private long element(ParameterUse use) {
    return layout.offset(use.gradientName()) / DType.F32.bytes();
  }

  /// Returns a group of a lane's gradients as one vector.
  Tensor vector(FlatTensors slot, int group) {
    Tensor whole = slot.whole();
    long elements = end(group) - first(group);
    return new Tensor(
        whole.buffer(), first(group) * DType.F32.bytes(), DType.F32, Shape.of(elements));
  }

  /// Where a shard's part of a group starts: at the first of its elements, or of those behind it,
  /// that the group has.
  private long start(int group, int rank) {
    if (rank == 0) {
      return first(group);
    }
    for (int next = rank; next < shards.ranks(); next++) {
      for (Piece piece : shards.pieces(next)) {
        for (ParameterUse use : groups.get(group)) {
          if (use.parameter().equals(piece.parameter())) {
            return element(use) + piece.start();
          }
        }
      }
    }
    return end(group);
  }

  private long end(int group, int rank) {
    return rank + 1 < shards.ranks() ? start(group, rank + 1) : end(group);
  }

  /// Returns the elements of each shard's part of a group.
  List<Long> counts(int group) {
    List<Long> counts = new ArrayList<>();
    for (int rank = 0; rank < shards.ranks(); rank++) {
      counts.add(end(group, rank) - start(group, rank));
    }
    return counts;
  }

  /// Returns how a shard of sums lies in memory: its part of each group, and the loss.
  FlatLayout shardLayout(int rank) {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    for (int group = 0; group < groups.size(); group++) {
      shapes.put(shardName(group), Shape.of(counts(group).get(rank)));
    }
    shapes.put(StepGraph.LOSS_SUM, Shape.scalar());
    shapes.put(StepGraph.COUNT, Shape.scalar());
    return FlatLayout.of(shapes);
  }

  /// Returns a piece's gradient within a shard of sums.
  ///
  /// @param use which of its parameter's uses
  Tensor piece(int use, Piece piece, int rank, FlatTensors sums) {
    int before = use;
    for (int group = 0; group < groups.size(); group++) {
      for (ParameterUse each : groups.get(group)) {
        if (each.parameter().equals(piece.parameter()) && before-- == 0) {
          long start = element(each) + piece.start() - start(group, rank);
          Tensor shard = sums.get(shardName(group));
          return new Tensor(
              shard.buffer(),
              shard.offset() + start * DType.F32.bytes(),
              DType.F32,
              Shape.of(piece.elements()));
        }
      }
    }
    throw new IllegalStateException(
        "no group has this gradient: parameter=%s, use=%d"
            .formatted(piece.parameter().name(), use));
  }

  /// Returns the gradients of a group, by name.
  Map<String, Shape> shapes(int group) {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    for (ParameterUse use : groups.get(group)) {
      shapes.put(use.gradientName(), grid.localShape(use.parameter()));
    }
    return shapes;
  }

  /// Returns how a group lies in memory of its own, as it does among all.
  FlatLayout groupLayout(int group) {
    return FlatLayout.of(shapes(group));
  }
}
