package dev.lockstep.train;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Program;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.data.Batches;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.optim.NormLeaves;
import dev.lockstep.train.optim.StateShards;
import dev.lockstep.train.optim.StateShards.Piece;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.optim.StepPlace;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.HostScalar;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.parallel.LaneSums;
import dev.lockstep.train.parallel.ShardRounds;
import dev.lockstep.train.parallel.SplitProgram;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;

/// Training steps of a rank that holds a shard of the optimizer's state (ZeRO): sums of gradients
/// are reduced to the rank that holds their shard, which updates its parameters; those are then
/// gathered, in stage 3 when they are used.
///
/// Stage 1 sums the rank's lanes first. In stage 2 lanes come in interleaved rounds, at round `t`
/// rank `r` computes lane `t·R + r`: each round is reduced as it comes, subtree by subtree of the
/// lane tree, so that only shards of sums are kept, and shards are joined by the same tree. Stage 3
/// does so layer by layer ([GatheredLanes]).
final class ShardedSteps implements Steps {
  private final RankCompute compute;
  private final Batches batches;
  private final DataInput input;
  private final List<Runnable> plan = new ArrayList<>();
  private final SplitProgram updateProgram;
  private final SplitProgram.Bound update;
  private List<Exchange.Prepared> gather = List.of();
  private final IntConsumer fill = this::fill;
  private final Map<String, List<Program>> programs = new LinkedHashMap<>();
  private final HostScalar learningRate;
  private final HostScalar number;
  private final HostScalar stop;
  private final HostScalar stopped;
  private final HostScalar loss;
  private final HostScalar gradientNorm;
  private long index;

  /// Compiles the programs.
  ///
  /// @param state updated in place; borrowed
  ShardedSteps(
      RankCompute compute,
      Recipe recipe,
      ModelPrograms programs,
      StepPrograms.State state,
      Batches batches) {
    this.compute = compute;
    this.batches = batches;
    Grid grid = compute.grid();
    int lanes = recipe.batch().lanes();
    ModelPrograms.Traced traced = programs.lane(recipe.batch().microBatch());
    input = new DataInput(compute, recipe.batch().microBatch(), recipe.model().context());
    GradientGroups groups = GradientGroups.of(grid, state.parameters().layout(), traced.uses());
    FlatTensors sums =
        switch (grid.zero()) {
          case 1 -> accumulated(lane(traced, state, groups), groups, lanes);
          case 2 -> interleaved(lane(traced, state, groups), groups, lanes);
          default -> gathered(traced, state, groups, lanes);
        };
    StateShards shards = grid.shards(groups.parameters());
    StepPlace place = grid.stepPlace(LaneSplit.onePerRank(grid.data().ranks()), null);
    FlatTensors scalars = compute.allocate("step scalars", StepPrograms.scalarLayout());
    FlatTensors wish = compute.allocateShared("stop", GradientGroups.stopLayout());
    updateProgram =
        new SplitProgram(
            compute.scope(),
            compute.device(),
            StepGraph.traceShard(shards, groups.useCounts(), recipe.optimizer(), place),
            compute.exchange());
    Map<String, Tensor> bindings = new HashMap<>(scalars.byName());
    bindings.put(StepGraph.subtreeInput(StepGraph.STOP, 0), wish.get(StepGraph.STOP));
    bindings.put(StepGraph.LOSS_SUM, sums.get(StepGraph.LOSS_SUM));
    bindings.put(StepGraph.COUNT, sums.get(StepGraph.COUNT));
    bindings.put(
        StepGraph.LEAF_ORDER, StepPrograms.leafOrder(compute, new NormLeaves(shards).order()));
    for (Piece piece : shards.pieces(compute.rank())) {
      bind(bindings, piece, state, groups, sums);
    }
    update = updateProgram.bind(bindings);
    this.programs.put("update", updateProgram.segments());
    if (!grid.isGathered()) {
      gather = List.of(gather(state.parameters(), shards));
    }
    learningRate = compute.scalar(scalars.get(StepGraph.LEARNING_RATE));
    number = compute.scalar(scalars.get(StepGraph.STEP));
    loss = compute.scalar(scalars.get(StepGraph.LOSS));
    gradientNorm = compute.scalar(scalars.get(StepGraph.GRADIENT_NORM));
    stop = compute.scalar(wish.get(StepGraph.STOP));
    stopped = compute.scalar(update.tensor(StepGraph.STOPPED));
  }

  private LaneSums.LaneProgram lane(
      ModelPrograms.Traced traced, StepPrograms.State state, GradientGroups groups) {
    return new LaneSums.LaneProgram(
        compute.grid().lay(traced),
        groups.layout(),
        input.with(traced.graph(), state.parameters().bindings(traced.uses())));
  }

  /// Gathers parameters and reduces gradients layer by layer.
  private FlatTensors gathered(
      ModelPrograms.Traced traced, StepPrograms.State state, GradientGroups groups, int lanes) {
    GatheredLanes gathered =
        new GatheredLanes(compute, traced, state.parameters(), groups, input, lanes);
    plan.add(() -> gathered.run(fill));
    programs.putAll(gathered.programs());
    return gathered.sums();
  }

  private void bind(
      Map<String, Tensor> bindings,
      Piece piece,
      StepPrograms.State state,
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

  private Exchange.Prepared gather(ModelState parameters, StateShards shards) {
    List<Long> counts = new ArrayList<>();
    List<Long> starts = FlatRanges.borders(parameters.layout(), shards, 0);
    for (int rank = 0; rank < shards.ranks(); rank++) {
      counts.add(starts.get(rank + 1) - starts.get(rank));
    }
    Tensor whole = parameters.memory();
    Tensor part =
        new Tensor(
            whole.buffer(),
            starts.get(compute.rank()) * DType.F32.bytes(),
            DType.F32,
            Shape.of(counts.get(compute.rank())));
    return own(compute.exchange().allGather(Layout.DATA, counts, part, whole));
  }

  private Exchange.Prepared own(Exchange.Prepared prepared) {
    return compute.scope().own(prepared, Exchange.Prepared::close);
  }

  /// Sums all of this rank's lanes, then reduces them to shards.
  private FlatTensors accumulated(LaneSums.LaneProgram lane, GradientGroups groups, int lanes) {
    LaneSplit split = LaneSplit.contiguous(lanes, compute.ranks());
    LanePlan order = LanePlan.of(split.ranks().get(compute.rank()));
    LaneSums own = new LaneSums(compute.scope(), compute.device(), compute.exchange(), order, lane);
    plan.add(() -> own.run(compute.stream(), fill));
    List<FlatTensors> held = new ArrayList<>();
    for (int i = 0; i < order.held().size(); i++) {
      held.add(own.subtree(i));
    }
    FlatTensors sums = shard(groups, 0);
    reduce(groups, split, held, sums);
    programs.put("lanes", own.lanePrograms());
    programs.put("joins", List.of(own.joinProgram()));
    return sums;
  }

  private FlatTensors shard(GradientGroups groups, int slot) {
    return compute.allocateShared("gradient shard " + slot, groups.shardLayout(compute.rank()));
  }

  /// Plans the reduction of what ranks hold to their shards.
  private void reduce(
      GradientGroups groups, LaneSplit split, List<FlatTensors> held, FlatTensors shard) {
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
    for (String scalar : List.of(StepGraph.LOSS_SUM, StepGraph.COUNT)) {
      List<Tensor> inputs =
          held.stream().map(slot -> slot.get(scalar).reshape(Shape.of(1))).toList();
      Tensor output = shard.get(scalar).reshape(Shape.of(1));
      collectives.add(own(compute.exchange().prepare(sum, inputs, output)));
    }
    plan.add(
        () -> {
          compute.stream().synchronize();
          for (int i = 0; i < collectives.size(); i++) {
            collectives.get(i).run();
          }
        });
  }

  /// Reduces each round of lanes as it comes, and joins shards.
  private FlatTensors interleaved(LaneSums.LaneProgram lane, GradientGroups groups, int lanes) {
    FlatTensors own = compute.allocateShared("lane gradients", lane.sums());
    SplitProgram program =
        new SplitProgram(compute.scope(), compute.device(), lane.graph(), compute.exchange());
    Map<String, Tensor> bindings = new HashMap<>(lane.inputs());
    lane.graph().outputs().forEach(output -> bindings.put(output.name(), own.get(output.name())));
    SplitProgram.Bound bound = program.bind(bindings);
    Graph join = LaneSums.join(groups.shardLayout(compute.rank()).elements());
    Program joining = compute.scope().own(compute.device().compile(join), Program::close);
    List<FlatTensors> slots = new ArrayList<>();
    ShardRounds rounds = ShardRounds.of(lanes, compute.ranks(), false);
    for (int slot = 0; slot < rounds.slots(); slot++) {
      slots.add(shard(groups, slot));
    }
    for (ShardRounds.Round round : rounds.rounds()) {
      int mine = round.first() + compute.rank();
      if (mine < round.end()) {
        plan.add(
            () -> {
              fill(mine);
              bound.run(compute.stream());
            });
      }
      for (ShardRounds.Action action : round.actions()) {
        switch (action) {
          case ShardRounds.Action.Reduce(LaneSplit split, int slot) -> {
            boolean holds = !split.ranks().get(compute.rank()).isEmpty();
            reduce(groups, split, holds ? List.of(own) : List.of(), slots.get(slot));
          }
          case ShardRounds.Action.Join(int into, int from) -> {
            BoundProgram add =
                joining.bind(LaneSums.joined(slots.get(into).whole(), slots.get(from).whole()));
            plan.add(() -> compute.stream().run(add));
          }
        }
      }
    }
    programs.put("lanes", program.segments());
    programs.put("joins", List.of(joining));
    return slots.getFirst();
  }

  private void fill(int lane) {
    batches.fill(index, lane, input.tokens(), input.targets());
    input.position(index, lane);
    input.send();
  }

  @Override
  public void run(long number, float rate, boolean wantsStop) {
    index = number;
    for (int i = 0; i < plan.size(); i++) { // an iterator is not always compiled away
      plan.get(i).run();
    }
    stop.set(wantsStop ? 1 : 0);
    learningRate.set(rate);
    this.number.set((float) (number + 1));
    update.run(compute.stream());
    compute.stream().synchronize();
    for (int i = 0; i < gather.size(); i++) {
      gather.get(i).run();
    }
  }

  @Override
  public Map<String, List<Program>> programs() {
    return new LinkedHashMap<>(programs);
  }

  @Override
  public float loss() {
    return loss.get();
  }

  @Override
  public float gradientNorm() {
    return gradientNorm.get();
  }

  @Override
  public boolean stopped() {
    return stopped.get() > 0;
  }
}
