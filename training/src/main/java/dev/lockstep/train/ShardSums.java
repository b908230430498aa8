package dev.lockstep.train;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Program;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.LaneRunner;
import dev.lockstep.train.parallel.LaneSums;
import dev.lockstep.train.parallel.ShardRounds;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Sums of gradients of which a rank keeps its shard alone (ZeRO 2 and 3): what reduces the lanes
/// of a round to shards over the data axis, and what joins shards by the tree of the lanes. The
/// ranks of the axis ask for the same in the same order.
final class ShardSums {
  private final RankCompute compute;
  private final GradientGroups groups;
  private final List<ShardRounds.Round> rounds;
  private final List<Tensor> vectors;
  private final Map<String, Tensor> losses;
  private final List<FlatTensors> slots = new ArrayList<>();
  private final Map<Integer, Program> joins = new LinkedHashMap<>(); // by chunk
  private final Map<Call, Exchange.Prepared> prepared = new HashMap<>();

  /// A reduction: ranks prepare the same ones in the same order.
  private record Call(LaneSplit lanes, int slot, String what) {}

  /// Allocates the shards and compiles their joins.
  ///
  /// @param vectors a lane's gradients, by group; borrowed
  /// @param losses a lane's loss and count, by name; empty where the rank computes none; borrowed
  ShardSums(
      RankCompute compute,
      GradientGroups groups,
      ShardRounds rounds,
      List<Tensor> vectors,
      Map<String, Tensor> losses) {
    this.compute = compute;
    this.groups = groups;
    this.rounds = rounds.rounds();
    this.vectors = List.copyOf(vectors);
    this.losses = Map.copyOf(losses);
    for (int slot = 0; slot < rounds.slots(); slot++) {
      slots.add(
          compute.allocateShared("gradient shard " + slot, groups.shardLayout(compute.rank())));
    }
    for (int chunk = 0; chunk < groups.chunks(); chunk++) {
      long elements = groups.shardElements(chunk, compute.rank());
      if (elements > 0) {
        Program join = compute.device().compile(LaneSums.join(elements));
        joins.put(chunk, compute.scope().own(join, Program::close));
      }
    }
  }

  /// Returns where the shards of all lanes' sums are after the last round.
  FlatTensors sums() {
    return slots.getFirst();
  }

  /// Returns the programs that join shards.
  List<Program> joinPrograms() {
    return List.copyOf(joins.values());
  }

  /// Returns what follows a round's lanes: its subtrees are reduced as they come, and joined as the
  /// round says.
  ///
  /// @param chunk of which gradients
  LaneRunner.Run follow(int round, int chunk) {
    List<Runnable> steps = new ArrayList<>();
    for (ShardRounds.Action action : rounds.get(round).actions()) {
      switch (action) {
        case ShardRounds.Action.Reduce(LaneSplit lanes, int slot) -> {
          List<Exchange.Prepared> collectives = new ArrayList<>();
          for (int group : groups.of(chunk)) {
            collectives.add(reduction(lanes, slot, group));
          }
          collectives.addAll(scalars(lanes, slot, chunk));
          Exchange.Prepared[] all = collectives.toArray(Exchange.Prepared[]::new);
          steps.add(
              () -> {
                compute.exchange().settle(compute.stream());
                compute.exchange().runAll(all);
              });
        }
        case ShardRounds.Action.Join join -> {
          for (BoundProgram add : join(join, chunk)) {
            steps.add(() -> compute.stream().run(add));
          }
        }
      }
    }
    Runnable[] all = steps.toArray(Runnable[]::new);
    return _ -> {
      for (Runnable step : all) {
        step.run();
      }
    };
  }

  /// Returns what reduces a group's gradients of a round, subtree by subtree.
  List<Exchange.Prepared> reductions(int round, int group) {
    List<Exchange.Prepared> found = new ArrayList<>();
    for (ShardRounds.Action action : rounds.get(round).actions()) {
      if (action instanceof ShardRounds.Action.Reduce(LaneSplit lanes, int slot)) {
        found.add(reduction(lanes, slot, group));
      }
    }
    return found;
  }

  /// Returns what ends a round whose gradients are reduced: its losses are reduced, then shards are
  /// joined.
  LaneRunner.Run end(int round, int chunk) {
    List<Exchange.Prepared> collectives = new ArrayList<>();
    List<BoundProgram> adds = new ArrayList<>();
    for (ShardRounds.Action action : rounds.get(round).actions()) {
      switch (action) {
        case ShardRounds.Action.Reduce(LaneSplit lanes, int slot) ->
            collectives.addAll(scalars(lanes, slot, chunk));
        case ShardRounds.Action.Join join -> adds.addAll(join(join, chunk));
      }
    }
    Exchange.Prepared[] scalars = collectives.toArray(Exchange.Prepared[]::new);
    BoundProgram[] joined = adds.toArray(BoundProgram[]::new);
    return stream -> {
      compute.exchange().runAll(scalars);
      for (BoundProgram add : joined) {
        stream.run(add);
      }
      compute.exchange().settle(stream);
    };
  }

  private List<BoundProgram> join(ShardRounds.Action.Join join, int chunk) {
    Program program = joins.get(chunk);
    if (program == null) {
      return List.of();
    }
    Tensor into = groups.shard(slots.get(join.into()), chunk, compute.rank());
    Tensor from = groups.shard(slots.get(join.from()), chunk, compute.rank());
    return List.of(program.bind(LaneSums.joined(into, from)));
  }

  private boolean holds(LaneSplit lanes) {
    return !lanes.ranks().get(compute.rank()).isEmpty();
  }

  private Exchange.Prepared own(Exchange.Prepared made) {
    return compute.scope().own(made, Exchange.Prepared::close);
  }

  private Exchange.Prepared reduction(LaneSplit lanes, int slot, int group) {
    String shard = GradientGroups.shardName(group);
    return prepared.computeIfAbsent(
        new Call(lanes, slot, shard),
        _ -> {
          List<Tensor> inputs = holds(lanes) ? List.of(vectors.get(group)) : List.of();
          Tensor output = slots.get(slot).get(shard);
          List<Long> counts = groups.counts(group);
          return own(compute.exchange().reduceScatter(Layout.DATA, lanes, counts, inputs, output));
        });
  }

  /// The loss and the count; none where another chunk computes them.
  private List<Exchange.Prepared> scalars(LaneSplit lanes, int slot, int chunk) {
    if (losses.isEmpty() || chunk != groups.chunks() - 1) {
      return List.of();
    }
    return List.of(scalar(lanes, slot, StepGraph.LOSS_SUM), scalar(lanes, slot, StepGraph.COUNT));
  }

  private Exchange.Prepared scalar(LaneSplit lanes, int slot, String name) {
    return prepared.computeIfAbsent(
        new Call(lanes, slot, name),
        _ -> {
          Primitive.AllReduce sum = new Primitive.AllReduce(Layout.DATA, new ReduceOp.Sum(), lanes);
          Tensor mine = losses.get(name);
          List<Tensor> inputs =
              holds(lanes) && mine != null ? List.of(mine.reshape(Shape.of(1))) : List.of();
          Tensor output = slots.get(slot).get(name).reshape(Shape.of(1));
          return own(compute.exchange().prepare(sum, inputs, output));
        });
  }
}
