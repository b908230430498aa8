package dev.lockstep.train;

import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.ShardRounds;
import java.util.List;
import java.util.Map;

/// What a rank holds of gradients whose sums are shared out while it holds all parameters (ZeRO 2):
/// those of one lane, and shards of sums, to which lanes are reduced round by round.
final class LaneRounds {
  private final GradientGroups groups;
  private final Buffer memory;
  private final ShardRounds rounds;
  private final ShardSums shards;

  /// Allocates the gradients and the shards.
  ///
  /// @param lanes lanes of the recipe
  LaneRounds(RankCompute compute, GradientGroups groups, int lanes) {
    this.groups = groups;
    memory = compute.allocateShared("lane gradients", groups.laneBytes());
    rounds = ShardRounds.of(lanes, compute.ranks(), false);
    Map<String, Tensor> losses = groups.losses(memory);
    shards = new ShardSums(compute, groups, rounds, groups.laneVectors(memory), losses);
  }

  /// Returns the rounds, in order.
  List<ShardRounds.Round> rounds() {
    return rounds.rounds();
  }

  /// Returns where a lane's gradients of a chunk, and its loss, go.
  Map<String, Tensor> gradients(int chunk) {
    return groups.lane(chunk, memory);
  }

  /// Returns the shards.
  ShardSums shards() {
    return shards;
  }
}
