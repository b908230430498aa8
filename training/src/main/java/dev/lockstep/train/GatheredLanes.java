package dev.lockstep.train;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Program;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.parallel.FirstFit;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.LaneSums;
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
  private static final Exchange.Prepared[] NONE = {};

  private final RankCompute compute;
  private final GradientGroups groups;
  private final GatheredProgram program;
  private final SplitProgram.Bound bound;
  private final List<Tensor> vectors = new ArrayList<>(); // a lane's gradients by group
  private final FlatTensors lossSums;
  private final List<FlatTensors> slots = new ArrayList<>();
  private final Program joinProgram;
  private final List<Lane> rounds = new ArrayList<>();
  private final GatheredProgram.PhaseEnd ended = this::ended;
  private Lane current = new Lane(-1, new Exchange.Prepared[0][], NONE, new BoundProgram[0]);
  private Exchange.Prepared[] pending = NONE;

  /// A round of this rank.
  private static final class Lane {
    private final int lane; // -1 for none
    private final Exchange.Prepared[][] byPhase; // reduced when a phase has ended
    private final Exchange.Prepared[] scalars; // reduced when all have
    private final BoundProgram[] joins; // and then added up

    Lane(
        int lane,
        Exchange.Prepared[][] byPhase,
        Exchange.Prepared[] scalars,
        BoundProgram[] joins) {
      this.lane = lane;
      this.byPhase = byPhase;
      this.scalars = scalars;
      this.joins = joins;
    }
  }

  /// A reduction: ranks prepare the same ones in the same order.
  private record Call(LaneSplit lanes, int slot, int group) {}

  /// When a group's gradients are made, and where.
  ///
  /// @param last phase in which the last of them is made, by group
  /// @param places where they lie
  record GradientPlan(List<Integer> last, FirstFit places) {
    /// Plans the memory of a lane's gradients.
    static GradientPlan of(GatherPlan plan, GradientGroups groups) {
      List<Integer> last = new ArrayList<>();
      List<FirstFit.Life> lives = new ArrayList<>();
      for (int group = 0; group < groups.count(); group++) {
        int first = Integer.MAX_VALUE;
        int end = 0;
        for (String name : groups.shapes(group).keySet()) {
          int made = plan.madeIn(name);
          first = Math.min(first, made);
          end = Math.max(end, made);
        }
        last.add(end);
        // Read until the reduction is awaited, at the end of the next phase.
        long bytes = groups.groupLayout(group).bytes();
        lives.add(new FirstFit.Life(GradientGroups.shardName(group), bytes, first, end + 1));
      }
      return new GradientPlan(last, FirstFit.of(lives));
    }
  }

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
    this.groups = groups;
    program = new GatheredProgram(compute, compute.grid().lay(traced), traced.uses(), parameters);
    GradientPlan gradients = GradientPlan.of(program.plan(), groups);
    Buffer memory = compute.allocateShared("lane gradients", gradients.places.bytes());
    Map<String, Tensor> bindings = new HashMap<>(input.with(traced.graph(), Map.of()));
    for (int group = 0; group < groups.count(); group++) {
      FlatLayout layout = groups.groupLayout(group);
      Long start = gradients.places.offsets().get(GradientGroups.shardName(group));
      long offset = start == null ? 0 : start;
      vectors.add(new Tensor(memory, offset, DType.F32, Shape.of(layout.elements())));
      groups
          .shapes(group)
          .forEach(
              (name, shape) ->
                  bindings.put(
                      name, new Tensor(memory, offset + layout.offset(name), DType.F32, shape)));
    }
    lossSums = compute.allocateShared("lane loss", lossLayout());
    bindings.putAll(lossSums.byName());
    bound = program.bound(bindings);
    ShardRounds plan = ShardRounds.of(lanes, compute.ranks(), true);
    FlatLayout shard = groups.shardLayout(compute.rank());
    for (int slot = 0; slot < plan.slots(); slot++) {
      slots.add(compute.allocateShared("gradient shard " + slot, shard));
    }
    joinProgram =
        compute
            .scope()
            .own(compute.device().compile(LaneSums.join(shard.elements())), Program::close);
    Map<Call, Exchange.Prepared> prepared = new HashMap<>();
    plan.rounds().forEach(round -> rounds.add(lane(round, gradients.last, prepared)));
  }

  /// Returns how a lane's loss lies in memory.
  static FlatLayout lossLayout() {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    shapes.put(StepGraph.LOSS_SUM, Shape.scalar());
    shapes.put(StepGraph.COUNT, Shape.scalar());
    return FlatLayout.of(shapes);
  }

  private Lane lane(
      ShardRounds.Round round, List<Integer> last, Map<Call, Exchange.Prepared> prepared) {
    int mine = round.first() + compute.rank();
    Exchange.Prepared[][] byPhase = new Exchange.Prepared[program.plan().phases().size()][];
    for (int phase = 0; phase < byPhase.length; phase++) {
      List<Exchange.Prepared> reductions = new ArrayList<>();
      for (int group = 0; group < groups.count(); group++) {
        if (last.get(group) == phase) {
          for (ShardRounds.Action action : round.actions()) {
            if (action instanceof ShardRounds.Action.Reduce(LaneSplit lanes, int slot)) {
              Call call = new Call(lanes, slot, group);
              reductions.add(prepared.computeIfAbsent(call, this::reduction));
            }
          }
        }
      }
      byPhase[phase] = reductions.toArray(NONE);
    }
    List<Exchange.Prepared> scalars = new ArrayList<>();
    List<BoundProgram> joins = new ArrayList<>();
    for (ShardRounds.Action action : round.actions()) {
      switch (action) {
        case ShardRounds.Action.Reduce(LaneSplit lanes, int slot) -> {
          scalars.add(prepared.computeIfAbsent(new Call(lanes, slot, -1), this::scalar));
          scalars.add(prepared.computeIfAbsent(new Call(lanes, slot, -2), this::scalar));
        }
        case ShardRounds.Action.Join(int into, int from) ->
            joins.add(
                joinProgram.bind(
                    LaneSums.joined(slots.get(into).whole(), slots.get(from).whole())));
      }
    }
    return new Lane(
        mine < round.end() ? mine : -1,
        byPhase,
        scalars.toArray(NONE),
        joins.toArray(new BoundProgram[0]));
  }

  private Exchange.Prepared own(Exchange.Prepared made) {
    return compute.scope().own(made, Exchange.Prepared::close);
  }

  private boolean holds(LaneSplit lanes) {
    return !lanes.ranks().get(compute.rank()).isEmpty();
  }

  private Exchange.Prepared reduction(Call call) {
    List<Tensor> inputs = holds(call.lanes) ? List.of(vectors.get(call.group)) : List.of();
    Tensor output = slots.get(call.slot).get(GradientGroups.shardName(call.group));
    List<Long> counts = groups.counts(call.group);
    return own(compute.exchange().reduceScatter(Layout.DATA, call.lanes, counts, inputs, output));
  }

  private Exchange.Prepared scalar(Call call) {
    String name = call.group == -1 ? StepGraph.LOSS_SUM : StepGraph.COUNT;
    Primitive.AllReduce sum = new Primitive.AllReduce(Layout.DATA, new ReduceOp.Sum(), call.lanes);
    List<Tensor> inputs =
        holds(call.lanes) ? List.of(lossSums.get(name).reshape(Shape.of(1))) : List.of();
    Tensor output = slots.get(call.slot).get(name).reshape(Shape.of(1));
    return own(compute.exchange().prepare(sum, inputs, output));
  }

  /// Returns where the shards of all lanes' sums are after [#run].
  FlatTensors sums() {
    return slots.getFirst();
  }

  /// Returns the programs by what they do.
  Map<String, List<Program>> programs() {
    Map<String, List<Program>> programs = new LinkedHashMap<>();
    programs.put("lanes", program.segments());
    programs.put("joins", List.of(joinProgram));
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
      current = round;
      program.run(round.lane >= 0 ? bound : null, ended);
      awaitPending();
      for (Exchange.Prepared scalar : round.scalars) {
        scalar.run();
      }
      for (BoundProgram join : round.joins) {
        compute.stream().run(join);
      }
      compute.stream().synchronize();
    }
  }

  private void ended(int phase) {
    awaitPending();
    pending = current.byPhase[phase];
    for (Exchange.Prepared reduction : pending) {
      reduction.start();
    }
  }

  private void awaitPending() {
    for (Exchange.Prepared reduction : pending) {
      reduction.await();
    }
    pending = NONE;
  }
}
