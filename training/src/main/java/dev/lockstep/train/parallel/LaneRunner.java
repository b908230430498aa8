package dev.lockstep.train.parallel;

import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.tensor.Tensor;
import java.util.List;
import java.util.Map;

/// A compiled program of several parts that is bound to tensors as often as need be.
public interface LaneRunner {
  /// Fixes where inputs and outputs live.
  ///
  /// @param tensors every input and output that the runner does not bind itself; borrowed
  Run bind(Map<String, Tensor> tensors);

  /// Returns the programs that a device runs, in order.
  List<Program> segments();

  /// A program with its tensors.
  interface Run {
    /// Runs it once; allocates nothing.
    void run(Stream stream);
  }
}
