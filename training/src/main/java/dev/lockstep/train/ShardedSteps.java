package dev.lockstep.train;

import dev.lockstep.device.Program;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.data.Batches;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.parallel.LaneRunner;
import dev.lockstep.train.parallel.LaneSums;
import dev.lockstep.train.parallel.ShardRounds;
import dev.lockstep.train.parallel.SplitProgram;
import dev.lockstep.train.pipeline.PipelinePlan;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/// Training steps of a rank that holds a shard of the optimizer's state (ZeRO): sums of gradients
/// are reduced to the rank that holds their shard, which updates its parameters; those are then
/// gathered, in stage 3 when they are used.
///
/// Stage 1 sums the rank's lanes first. In stage 2 lanes come in interleaved rounds, at round `t`
/// rank `r` computes lane `t·R + r`: each round is reduced as it comes, subtree by subtree of the
/// lane tree, so that only shards of sums are kept, and shards are joined by the same tree. Stage 3
/// does so layer by layer ([GatheredLanes]). Where layers are spread over stages of a pipeline each
/// of them does so with the same stage of the others ([StagedShards]).
final class ShardedSteps implements Steps {
  private final RankCompute compute;
  private final Batches batches;
  private final DataInput input;
  private final GradientGroups groups;
  private final List<Runnable> plan = new ArrayList<>();
  private final ShardUpdate update;
  private final IntConsumer fill = this::fill;
  private final Map<String, List<Program>> programs = new LinkedHashMap<>();
  private long index;

  /// Compiles the programs of a rank that computes all layers.
  ///
  /// @param state updated in place; borrowed
  ShardedSteps(
      RankCompute compute,
      Recipe recipe,
      ModelPrograms programs,
      TrainedState state,
      Batches batches) {
    this.compute = compute;
    this.batches = batches;
    int lanes = recipe.batch().lanes();
    ModelPrograms.Traced traced = programs.lane(recipe.batch().microBatch());
    input = new DataInput(compute, recipe.batch().microBatch(), recipe.model().context());
    groups = groups(compute, state, List.of(traced.uses()), true);
    FlatTensors sums =
        switch (compute.grid().zero()) {
          case 1 -> accumulated(lane(traced, state), lanes);
          case 2 -> interleaved(lane(traced, state), lanes);
          default -> gathered(traced, state, lanes);
        };
    update = update(recipe, null, state, sums);
  }

  /// Compiles the programs of a stage of a pipeline; the ranks of all pipelines do so together.
  ///
  /// @param pipeline what the stages do
  /// @param state updated in place; borrowed
  ShardedSteps(
      RankCompute compute,
      Recipe recipe,
      PipelinePlan pipeline,
      Stages stages,
      TrainedState state,
      Batches batches) {
    this.compute = compute;
    this.batches = batches;
    input = new DataInput(compute, recipe.batch().microBatch(), recipe.model().context());
    groups = groups(compute, state, stages.ownByChunk(), stages.isLast());
    StagedShards staged =
        new StagedShards(compute, recipe, pipeline, stages, state.parameters(), groups, input);
    plan.add(() -> staged.run(fill));
    programs.putAll(staged.programs());
    if (!staged.held().isEmpty()) {
      LaneSplit split = LaneSplit.contiguous(recipe.batch().lanes(), compute.ranks());
      reduce(split, staged.held(), staged.sums());
    }
    update = update(recipe, stages, state, staged.sums());
  }

  private static GradientGroups groups(
      RankCompute compute, TrainedState state, List<List<ParameterUse>> chunks, boolean hasLoss) {
    return GradientGroups.of(compute.grid(), state.parameters().held(), chunks, hasLoss);
  }

  private ShardUpdate update(
      Recipe recipe, @Nullable Stages stages, TrainedState state, FlatTensors sums) {
    ShardUpdate made = new ShardUpdate(compute, recipe, stages, state, groups, sums);
    programs.put("update", made.programs());
    return made;
  }

  private LaneSums.LaneProgram lane(ModelPrograms.Traced traced, TrainedState state) {
    return new LaneSums.LaneProgram(
        compute.grid().lay(traced),
        groups.layout(),
        input.with(traced.graph(), state.parameters().bindings(traced.uses())));
  }

  /// Gathers parameters and reduces gradients layer by layer.
  private FlatTensors gathered(ModelPrograms.Traced traced, TrainedState state, int lanes) {
    GatheredLanes gathered =
        new GatheredLanes(compute, traced, state.parameters(), groups, input, lanes);
    plan.add(() -> gathered.run(fill));
    programs.putAll(gathered.programs());
    return gathered.sums();
  }

  private Exchange.Prepared own(Exchange.Prepared prepared) {
    return compute.scope().own(prepared, Exchange.Prepared::close);
  }

  /// Sums all of this rank's lanes, then reduces them to shards.
  private FlatTensors accumulated(LaneSums.LaneProgram lane, int lanes) {
    LaneSplit split = LaneSplit.contiguous(lanes, compute.ranks());
    LanePlan order = LanePlan.of(split.ranks().get(compute.rank()));
    LaneSums own = new LaneSums(compute.scope(), compute.device(), compute.exchange(), order, lane);
    plan.add(() -> own.run(compute.stream(), fill));
    List<FlatTensors> held = new ArrayList<>();
    for (int i = 0; i < order.held().size(); i++) {
      held.add(own.slot(i));
    }
    FlatTensors sums =
        compute.allocateShared("gradient shard 0", groups.shardLayout(compute.rank()));
    reduce(split, held, sums);
    programs.put("lanes", own.lanePrograms());
    programs.put("joins", own.joinPrograms());
    return sums;
  }

  /// Plans the reduction of what ranks hold to their shards.
  private void reduce(LaneSplit split, List<FlatTensors> held, FlatTensors shard) {
    List<Exchange.Prepared> collectives = new ArrayList<>();
    for (int use = 0; use < groups.count(); use++) {
      int group = use;
      List<Tensor> inputs = held.stream().map(slot -> groups.vector(slot, group)).toList();
      Tensor output = shard.get(GradientGroups.shardName(use));
      collectives.add(
          own(
              compute
                  .exchange()
                  .reduceScatter(Layout.DATA, split, groups.counts(use), inputs, output)));
    }
    Primitive.AllReduce sum = new Primitive.AllReduce(Layout.DATA, new ReduceOp.Sum(), split);
    List<String> scalars =
        groups.hasLoss() ? List.of(StepGraph.LOSS_SUM, StepGraph.COUNT) : List.of();
    for (String scalar : scalars) {
      List<Tensor> inputs =
          held.stream().map(slot -> slot.get(scalar).reshape(Shape.of(1))).toList();
      Tensor output = shard.get(scalar).reshape(Shape.of(1));
      collectives.add(own(compute.exchange().prepare(sum, inputs, output)));
    }
    Exchange.Prepared[] all = collectives.toArray(Exchange.Prepared[]::new);
    plan.add(
        () -> {
          compute.exchange().settle(compute.stream());
          compute.exchange().runAll(all);
        });
  }

  /// Reduces each round of lanes as it comes, and joins shards.
  private FlatTensors interleaved(LaneSums.LaneProgram lane, int lanes) {
    LaneRounds rounds = new LaneRounds(compute, groups, lanes);
    SplitProgram program =
        new SplitProgram(compute.scope(), compute.device(), lane.graph(), compute.exchange());
    Map<String, Tensor> bindings = new HashMap<>(lane.inputs());
    bindings.putAll(rounds.gradients(0));
    SplitProgram.Bound bound = program.bind(bindings);
    for (int number = 0; number < rounds.rounds().size(); number++) {
      ShardRounds.Round round = rounds.rounds().get(number);
      int mine = round.first() + compute.rank();
      if (mine < round.end()) {
        plan.add(
            () -> {
              fill(mine);
              bound.run(compute.stream());
            });
      }
      LaneRunner.Run follow = rounds.shards().follow(number, 0);
      plan.add(() -> follow.run(compute.stream()));
    }
    programs.put("lanes", program.segments());
    programs.put("joins", rounds.shards().joinPrograms());
    return rounds.shards().sums();
  }

  private void fill(int lane) {
    input.fill(batches, index, lane);
  }

  @Override
  public void run(long number, float rate, boolean wantsStop) {
    index = number;
    for (int i = 0; i < plan.size(); i++) { // an iterator is not always compiled away
      plan.get(i).run();
    }
    update.run(number, rate, wantsStop);
  }

  @Override
  public void ahead(long next) {
    input.ahead(batches, next);
  }

  @Override
  public Map<String, List<Program>> programs() {
    return new LinkedHashMap<>(programs);
  }

  @Override
  public StepScalars scalars() {
    return update.scalars();
  }
}
