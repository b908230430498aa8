package dev.lockstep.train;

import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.LaneRunner;
import dev.lockstep.train.parallel.ShardRounds;
import dev.lockstep.train.pipeline.ChunkPrograms;
import dev.lockstep.train.pipeline.StageChunks;
import dev.lockstep.train.pipeline.StageWork;
import java.util.Map;

/// The work of a stage of which pipelines share out the sums of gradients (ZeRO 2): what a lane
/// leaves of a chunk is reduced to shards before the next one is computed.
final class RoundWork implements StageWork {
  private final StageChunks stage;
  private final GradientGroups groups;
  private final ChunkPrograms programs;
  private final Buffer memory;
  private final ShardSums shards;

  /// Allocates the gradients of one lane and the shards.
  ///
  /// @param lanes lanes of the recipe
  RoundWork(
      RankCompute compute,
      StageChunks stage,
      GradientGroups groups,
      ChunkPrograms programs,
      int lanes) {
    this.stage = stage;
    this.groups = groups;
    this.programs = programs;
    memory = compute.allocateShared("lane gradients", groups.laneBytes());
    ShardRounds rounds = ShardRounds.of(lanes, compute.ranks(), false);
    Map<String, Tensor> losses = groups.losses(memory);
    shards = new ShardSums(compute, groups, rounds, groups.laneVectors(memory), losses);
  }

  /// Returns the shards.
  ShardSums shards() {
    return shards;
  }

  @Override
  public LaneRunner.Run compute(Way way, int round, Map<String, Tensor> sections) {
    return programs.bind(way, sections, groups.lane(stage.own(way.chunk()), memory));
  }

  @Override
  public LaneRunner.Run join(int chunk, int into, int from) {
    throw new IllegalStateException("lanes are reduced as they come: chunk=" + chunk);
  }

  @Override
  public LaneRunner.Run reduce(int chunk, int round) {
    return shards.follow(round, stage.own(chunk));
  }

  @Override
  public LaneRunner.Run lend(int chunk, int round, boolean back) {
    throw new IllegalStateException("the stage holds its parameters: chunk=" + chunk);
  }
}
