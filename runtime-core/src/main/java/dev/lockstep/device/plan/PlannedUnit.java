package dev.lockstep.device.plan;

import dev.lockstep.graph.Value;
import java.util.List;

/// What a device does in one go: a node, or several that it fused. [StoragePlan] asks it what it
/// reads and writes, and which results may take an operand's memory.
public interface PlannedUnit {
  /// An operand whose memory a result may take if nothing reads it later.
  ///
  /// @param operand position among [#reads]
  /// @param result position among [#writes]
  record InPlace(int operand, int result) {}

  /// Returns what is read, each time that it is.
  List<Value> reads();

  /// Returns the results that others read.
  List<Value> writes();

  /// Returns which results may lie where an operand lay: element `i` of the result is written after
  /// the last read of element `i` of the operand.
  List<InPlace> inPlace();

  /// Returns whether every element of every operand is read before the same element of a result is
  /// written, so that operands may share memory with each other too.
  boolean isElementWise();
}
