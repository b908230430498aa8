package dev.lockstep.device.cuda;

import dev.lockstep.device.plan.PlannedUnit;
import dev.lockstep.graph.Cost;

/// What a program does in one go: a node, or element-wise nodes that one kernel computes.
sealed interface ProgramUnit extends PlannedUnit permits CudaUnit, FusedUnit {
  /// Returns the arithmetic, and the bytes that are read and written.
  Cost cost();

  /// Returns results, ops and operands as text.
  String line();
}
