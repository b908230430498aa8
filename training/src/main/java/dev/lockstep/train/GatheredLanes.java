package dev.lockstep.train;

import dev.lockstep.device.Program;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.LaneRunner;
import dev.lockstep.train.parallel.ShardRounds;
import dev.lockstep.train.parallel.SplitProgram;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;

/// The lanes of a step where parameters, gradients and state are sharded (ZeRO 3). A layer's
/// gradients are reduced to shards while the layer before it goes back, and their memory is free
/// once that is done: of whole gradients a rank holds those of two layers.
final class GatheredLanes {
  private final RankCompute compute;
  private final GatheredProgram program;
  private final SplitProgram.Bound bound;
  private final ShardSums shards;
  private final List<Lane> rounds = new ArrayList<>();

  /// A round of this rank.
  ///
  /// @param lane the lane; -1 for none
  /// @param reductions of its gradients, while it computes
  /// @param end its losses and joins
  private record Lane(int lane, PhaseReductions reductions, LaneRunner.Run end) {}

  /// Compiles the programs.
  ///
  /// @param parameters sharded; borrowed
  GatheredLanes(
      RankCompute compute,
      ModelPrograms.Traced traced,
      ModelState parameters,
      GradientGroups groups,
      DataInput input,
      int lanes) {
    this.compute = compute;
    program = GatheredProgram.of(compute, compute.grid().lay(traced), traced.uses(), parameters);
    List<Integer> all = groups.of(0);
    GradientPlan gradients = GradientPlan.of(program.plan(), groups, all);
    Buffer memory = compute.allocateShared("lane gradients", gradients.bytes());
    Map<String, Tensor> bindings = new HashMap<>(input.with(traced.graph(), Map.of()));
    List<Tensor> vectors = new ArrayList<>();
    for (int group : all) {
      vectors.add(gradients.vector(groups, group, memory));
      bindings.putAll(gradients.tensors(groups, group, memory));
    }
    FlatTensors losses = compute.allocateShared("lane loss", lossLayout());
    bindings.putAll(losses.byName());
    bound = program.bound(bindings);
    ShardRounds plan = ShardRounds.of(lanes, compute.ranks(), true);
    shards = new ShardSums(compute, groups, plan, vectors, losses.byName());
    for (int round = 0; round < plan.rounds().size(); round++) {
      int mine = plan.rounds().get(round).first() + compute.rank();
      rounds.add(
          new Lane(
              mine < plan.rounds().get(round).end() ? mine : -1,
              PhaseReductions.of(program.plan(), gradients, all, shards, round),
              shards.end(round, 0)));
    }
  }

  /// Returns how a lane's loss lies in memory.
  static FlatLayout lossLayout() {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    shapes.put(StepGraph.LOSS_SUM, Shape.scalar());
    shapes.put(StepGraph.COUNT, Shape.scalar());
    return FlatLayout.of(shapes);
  }

  /// Returns where the shards of all lanes' sums are after [#run].
  FlatTensors sums() {
    return shards.sums();
  }

  /// Returns the programs by what they do.
  Map<String, List<Program>> programs() {
    Map<String, List<Program>> programs = new LinkedHashMap<>();
    programs.put("lanes", program.segments());
    programs.put("joins", shards.joinPrograms());
    return programs;
  }

  /// Runs all rounds; all ranks together.
  ///
  /// @param fill brings a lane's input to where it is bound, before that lane runs
  void run(IntConsumer fill) {
    for (int i = 0; i < rounds.size(); i++) {
      Lane round = rounds.get(i);
      if (round.lane >= 0) {
        fill.accept(round.lane);
      }
      program.run(round.lane >= 0 ? bound : null, round.reductions);
      round.reductions.await();
      round.end.run(compute.stream());
    }
  }
}
