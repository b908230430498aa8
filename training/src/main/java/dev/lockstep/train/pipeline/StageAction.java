package dev.lockstep.train.pipeline;

/// One thing that a stage does. **Slots** hold what a lane keeps between its way forth and its way
/// back, **sums** are the accumulators of a [dev.lockstep.train.parallel.LanePlan].
public sealed interface StageAction {
  /// Waits for what the stage before sends for a lane.
  record Receive(int lane, int slot) implements StageAction {}

  /// Computes a lane's way forth.
  record Forward(int lane, int slot) implements StageAction {}

  /// Sends what the next stage needs of a lane; does not wait for it.
  record Send(int lane, int slot) implements StageAction {}

  /// Waits for the gradient that the next stage sends for a lane.
  record ReceiveGradient(int lane) implements StageAction {}

  /// Computes a lane's way back and leaves its sums; the last stage computes both ways.
  ///
  /// @param message which of the messages back its gradient is written to
  record Backward(int lane, int slot, int sum, int message) implements StageAction {}

  /// Sends the gradient that the stage before needs of a lane; does not wait for it.
  record SendGradient(int lane, int message) implements StageAction {}

  /// Adds sum `from` to sum `into`.
  record Join(int into, int from) implements StageAction {}
}
