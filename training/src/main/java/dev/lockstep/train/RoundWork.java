package dev.lockstep.train;

import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.LaneRunner;
import dev.lockstep.train.pipeline.ChunkPrograms;
import dev.lockstep.train.pipeline.StageChunks;
import dev.lockstep.train.pipeline.StageWork;
import java.util.Map;

/// The work of a stage of which pipelines share out the sums of gradients (ZeRO 2): what a lane
/// leaves of a chunk is reduced to shards before the next one is computed.
final class RoundWork implements StageWork {
  private final StageChunks stage;
  private final ChunkPrograms programs;
  private final LaneRounds rounds;

  /// Plans the work.
  ///
  /// @param rounds what a lane leaves; borrowed
  RoundWork(StageChunks stage, ChunkPrograms programs, LaneRounds rounds) {
    this.stage = stage;
    this.programs = programs;
    this.rounds = rounds;
  }

  @Override
  public LaneRunner.Run compute(Way way, int round, Map<String, Tensor> sections) {
    return programs.bind(way, sections, rounds.gradients(stage.own(way.chunk())));
  }

  @Override
  public LaneRunner.Run join(int chunk, int into, int from) {
    throw new IllegalStateException("lanes are reduced as they come: chunk=" + chunk);
  }

  @Override
  public LaneRunner.Run reduce(int chunk, int round) {
    return rounds.shards().follow(round, stage.own(chunk));
  }

  @Override
  public LaneRunner.Run lend(int chunk, int round, boolean back) {
    throw new IllegalStateException("the stage holds its parameters: chunk=" + chunk);
  }
}
