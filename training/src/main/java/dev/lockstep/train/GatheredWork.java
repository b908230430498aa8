package dev.lockstep.train;

import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.LaneRunner;
import dev.lockstep.train.parallel.ShardRounds;
import dev.lockstep.train.pipeline.StageChunks;
import dev.lockstep.train.pipeline.StageWork;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// The work of a stage of which pipelines share out the parameters too (ZeRO 3): a layer's
/// gradients are reduced to shards while the layer before it goes back.
final class GatheredWork implements StageWork {
  private final StageChunks stage;
  private final GradientGroups groups;
  private final GatheredChunks programs;
  private final List<GradientPlan> plans = new ArrayList<>(); // by the stage's chunk
  private final List<Map<String, Tensor>> gradients = new ArrayList<>();
  private final ShardSums shards;

  /// Allocates the gradients of one lane and the shards.
  ///
  /// @param lanes lanes of the recipe
  GatheredWork(
      RankCompute compute,
      StageChunks stage,
      GradientGroups groups,
      GatheredChunks programs,
      int lanes) {
    this.stage = stage;
    this.groups = groups;
    this.programs = programs;
    long bytes = 0;
    for (int chunk = 0; chunk < groups.chunks(); chunk++) {
      plans.add(GradientPlan.of(programs.gradientPlan(chunk), groups, groups.of(chunk)));
      bytes = Math.max(bytes, plans.getLast().bytes());
    }
    Buffer memory = compute.allocateShared("lane gradients", bytes);
    List<Tensor> vectors = new ArrayList<>();
    for (int chunk = 0; chunk < groups.chunks(); chunk++) {
      Map<String, Tensor> found = new HashMap<>();
      for (int group : groups.of(chunk)) {
        vectors.add(plans.get(chunk).vector(groups, group, memory));
        found.putAll(plans.get(chunk).tensors(groups, group, memory));
      }
      gradients.add(found);
    }
    Map<String, Tensor> losses = new HashMap<>();
    if (groups.hasLoss()) {
      FlatTensors lossSums = compute.allocateShared("lane loss", GatheredLanes.lossLayout());
      losses.putAll(lossSums.byName());
      gradients.getLast().putAll(losses);
    }
    ShardRounds rounds = ShardRounds.of(lanes, compute.ranks(), true);
    shards = new ShardSums(compute, groups, rounds, vectors, losses);
  }

  /// Returns the shards.
  ShardSums shards() {
    return shards;
  }

  @Override
  public LaneRunner.Run compute(Way way, int round, Map<String, Tensor> sections) {
    if (!way.back()) {
      return programs.bind(way, sections, Map.of());
    }
    int own = stage.own(way.chunk());
    PhaseReductions reductions = reductions(own, round);
    LaneRunner.Run run = programs.bind(way, sections, gradients.get(own), reductions);
    return reductions.awaitedAfter(run);
  }

  private PhaseReductions reductions(int own, int round) {
    return PhaseReductions.of(
        programs.gradientPlan(own), plans.get(own), groups.of(own), shards, round);
  }

  @Override
  public LaneRunner.Run join(int chunk, int into, int from) {
    throw new IllegalStateException("lanes are reduced as they come: chunk=" + chunk);
  }

  @Override
  public LaneRunner.Run reduce(int chunk, int round) {
    return shards.end(round, stage.own(chunk));
  }

  @Override
  public LaneRunner.Run lend(int chunk, int round, boolean back) {
    if (!back) {
      return programs.lend(chunk, false);
    }
    PhaseReductions reductions = reductions(stage.own(chunk), round);
    return reductions.awaitedAfter(programs.lend(chunk, true, reductions));
  }
}
