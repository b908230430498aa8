package dev.lockstep.train.pipeline;

/// One thing that a stage does for one of its chunks. **Slots** hold what a lane keeps between its
/// way forth and its way back, **sums** are the accumulators of a
/// [dev.lockstep.train.parallel.LanePlan]; each chunk has its own.
public sealed interface StageAction {
  /// Returns the chunk, counted over all stages.
  int chunk();

  /// Waits for what the chunk before sends for a lane.
  record Receive(int chunk, int lane, int slot) implements StageAction {}

  /// Computes a lane's way forth.
  record Forward(int chunk, int lane, int slot) implements StageAction {}

  /// Sends what the next chunk needs of a lane; does not wait for it.
  record Send(int chunk, int lane, int slot) implements StageAction {}

  /// Waits for the gradient that the next chunk sends for a lane.
  record ReceiveGradient(int chunk, int lane) implements StageAction {}

  /// Computes a lane's way back and leaves its sums; the last chunk computes both ways.
  ///
  /// @param message which of the messages back its gradient is written to
  record Backward(int chunk, int lane, int slot, int sum, int message) implements StageAction {}

  /// Sends the gradient that the chunk before needs of a lane; does not wait for it.
  record SendGradient(int chunk, int lane, int message) implements StageAction {}

  /// Adds sum `from` to sum `into`.
  record Join(int chunk, int into, int from) implements StageAction {}

  /// Reduces what a round's lanes left in sum 0, over all pipelines; each takes part, also one that
  /// has no lane in the round.
  record Reduce(int chunk, int round) implements StageAction {}

  /// Gives what this pipeline holds of a chunk's parameters to those that compute a lane in a round
  /// in which it has none.
  ///
  /// @param back whether they compute the way back
  record Lend(int chunk, int round, boolean back) implements StageAction {}
}
