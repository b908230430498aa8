package dev.lockstep.train;

import dev.lockstep.device.Program;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.optim.NormLeaves;
import dev.lockstep.train.optim.StateShards;
import dev.lockstep.train.optim.StateShards.Piece;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.optim.StepPlace;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.SplitProgram;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What follows the lanes of a step on a rank that holds a shard of the optimizer's state: it
/// updates its shard of the parameters, which are then gathered unless they are sharded too.
final class ShardUpdate {
  private final RankCompute compute;
  private final SplitProgram program;
  private final SplitProgram.Bound bound;
  private final Exchange.Prepared[] gathers;
  private final StepScalars scalars;

  /// Compiles the step program.
  ///
  /// @param stages how layers are spread over ranks; null if they are not
  /// @param state updated in place; borrowed
  /// @param sums the rank's shard of all lanes' sums; borrowed
  ShardUpdate(
      RankCompute compute,
      Recipe recipe,
      @Nullable Stages stages,
      TrainedState state,
      GradientGroups groups,
      FlatTensors sums) {
    this.compute = compute;
    Grid grid = compute.grid();
    StateShards shards = groups.shards();
    NormLeaves leaves = leaves(grid, stages, shards);
    FlatTensors numbers = compute.allocate("step scalars", StepScalars.layout());
    FlatTensors wish = compute.allocateShared("stop", GradientGroups.stopLayout());
    program =
        new SplitProgram(
            compute.scope(),
            compute.device(),
            graph(recipe, grid, stages, groups),
            compute.exchange());
    Map<String, Tensor> bindings = new HashMap<>(numbers.byName());
    bindings.put(StepGraph.subtreeInput(StepGraph.STOP, 0), wish.get(StepGraph.STOP));
    if (groups.hasLoss()) {
      bindings.put(StepGraph.LOSS_SUM, sums.get(StepGraph.LOSS_SUM));
      bindings.put(StepGraph.COUNT, sums.get(StepGraph.COUNT));
    }
    bindings.put(StepGraph.LEAF_ORDER, StepPrograms.leafOrder(compute, leaves.order()));
    for (Piece piece : shards.pieces(compute.rank())) {
      bind(bindings, piece, state, groups, sums);
    }
    bound = program.bind(bindings);
    gathers = new Exchange.Prepared[grid.isGathered() ? 0 : shards.units().size()];
    for (int unit = 0; unit < gathers.length; unit++) {
      gathers[unit] = gather(state.parameters(), shards, unit);
    }
    Tensor stop = wish.get(StepGraph.STOP);
    scalars = new StepScalars(compute, numbers, stop, bound.tensor(StepGraph.STOPPED));
  }

  /// Returns the step program.
  ///
  /// @param stages how layers are spread over ranks; null if they are not
  static Graph graph(Recipe recipe, Grid grid, @Nullable Stages stages, GradientGroups groups) {
    StepPlace place =
        grid.stepPlace(
            LaneSplit.onePerRank(grid.data().ranks()), stages == null ? null : stages.place());
    return StepGraph.traceShard(
        leaves(grid, stages, groups.shards()), groups.useCounts(), recipe.optimizer(), place);
  }

  /// Returns the leaves of the norm, of all stages where there are several.
  ///
  /// @param own this rank's cut
  private static NormLeaves leaves(Grid grid, @Nullable Stages stages, StateShards own) {
    if (stages == null) {
      return new NormLeaves(own);
    }
    List<StateShards> all = stages.held().stream().map(grid::shards).toList();
    return new NormLeaves(all, stages.place().all(), grid.pipeline().rank());
  }

  private void bind(
      Map<String, Tensor> bindings,
      Piece piece,
      TrainedState state,
      GradientGroups groups,
      FlatTensors sums) {
    Parameter parameter = piece.parameter();
    String name = parameter.name();
    for (int use = 0; use < groups.useCounts().getOrDefault(parameter, 1); use++) {
      bindings.put(
          StepGraph.pieceInput(parameter, use), groups.piece(use, piece, compute.rank(), sums));
    }
    bindings.put(name, state.parameters().piece(name, piece.start(), piece.elements()));
    for (String moment : List.of(StepGraph.FIRST_MOMENT + name, StepGraph.SECOND_MOMENT + name)) {
      bindings.put(moment, state.moments().piece(moment, piece.start(), piece.elements()));
    }
  }

  /// Gathers what the ranks have updated of a unit, in place.
  private Exchange.Prepared gather(ModelState parameters, StateShards shards, int unit) {
    List<Long> counts = new ArrayList<>();
    List<Long> starts = FlatRanges.borders(parameters.layout(), shards, unit);
    for (int rank = 0; rank < shards.ranks(); rank++) {
      counts.add(starts.get(rank + 1) - starts.get(rank));
    }
    long elements = starts.getLast() - starts.getFirst();
    Tensor whole = parameters.vector(starts.getFirst(), elements);
    Tensor part = parameters.vector(starts.get(compute.rank()), counts.get(compute.rank()));
    return compute
        .scope()
        .own(
            compute.exchange().allGather(Layout.DATA, counts, part, whole),
            Exchange.Prepared::close);
  }

  /// Updates and gathers; all ranks together.
  ///
  /// @param index number of the step, from 0
  /// @param rate learning rate
  /// @param wantsStop whether this rank asks all to stop after it
  void run(long index, float rate, boolean wantsStop) {
    scalars.tell(index, rate, wantsStop);
    bound.run(compute.stream());
    compute.exchange().settle(compute.stream());
    compute.exchange().runAll(gathers);
  }

  /// Returns the programs of the update.
  List<Program> programs() {
    return program.segments();
  }

  /// Returns the numbers of the last step.
  StepScalars scalars() {
    return scalars;
  }
}
