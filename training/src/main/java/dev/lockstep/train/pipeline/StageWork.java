package dev.lockstep.train.pipeline;

import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.LaneRunner;
import java.util.Map;

/// What the chunks of a stage are computed by, and what becomes of their sums; [StageLanes] says
/// when. It is asked for what is run before anything is, on the same stage of all pipelines in the
/// same order. What it returns allocates nothing when it runs.
public interface StageWork {
  /// One way of a chunk and the memory that it reads and writes.
  ///
  /// @param chunk the chunk, counted over all stages
  /// @param back whether it is the way back; the last chunk has it alone, for both
  /// @param slot of the lane
  /// @param message that its gradient is written to
  /// @param sum that its sums are left in
  record Way(int chunk, boolean back, int slot, int message, int sum) {}

  /// Returns what computes a way.
  ///
  /// @param round of the lane
  /// @param sections where what the chunk is told and tells lies ([Chunk]); borrowed
  LaneRunner.Run compute(Way way, int round, Map<String, Tensor> sections);

  /// Returns what adds sum `from` of a chunk to `into`.
  LaneRunner.Run join(int chunk, int into, int from);

  /// Returns what reduces a chunk's sums of a round over all pipelines; all run it.
  LaneRunner.Run reduce(int chunk, int round);

  /// Returns what gives a chunk's parameters to the other pipelines.
  ///
  /// @param round in which this one has no lane
  /// @param back whether the others compute the way back
  LaneRunner.Run lend(int chunk, int round, boolean back);
}
