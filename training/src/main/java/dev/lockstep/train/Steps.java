package dev.lockstep.train;

import dev.lockstep.device.Program;
import java.util.List;
import java.util.Map;

/// Training steps of one rank. Steps allocate nothing after the first few; all ranks take them
/// together.
sealed interface Steps permits StepPrograms, ShardedSteps, StagedSteps {
  /// Takes a step.
  ///
  /// @param index number of the step, from 0
  /// @param rate learning rate
  /// @param wantsStop whether this rank asks all to stop after it
  void run(long index, float rate, boolean wantsStop);

  /// Sends what the next step begins with while the device works on this one.
  ///
  /// @param next number of the next step
  void ahead(long next);

  /// Returns the programs by what they do.
  Map<String, List<Program>> programs();

  /// Returns the numbers of the last step.
  StepScalars scalars();
}
