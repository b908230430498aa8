package dev.lockstep.train;

import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.HostScalar;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The numbers that the host tells a step, and those that it reads from it. Allocates nothing once
/// it is made.
final class StepScalars {
  private final HostScalar learningRate;
  private final HostScalar number;
  private final HostScalar loss;
  private final HostScalar gradientNorm;
  private final HostScalar stop;
  private final HostScalar stopped;

  /// Reaches the numbers.
  ///
  /// @param numbers laid out as [#layout] says; borrowed
  /// @param stop this rank's wish, which goes with its sums; borrowed
  /// @param stopped where the ranks' wishes arrive; borrowed
  StepScalars(RankCompute compute, FlatTensors numbers, Tensor stop, Tensor stopped) {
    this.learningRate = compute.scalar(numbers.get(StepGraph.LEARNING_RATE));
    this.number = compute.scalar(numbers.get(StepGraph.STEP));
    this.loss = compute.scalar(numbers.get(StepGraph.LOSS));
    this.gradientNorm = compute.scalar(numbers.get(StepGraph.GRADIENT_NORM));
    this.stop = compute.scalar(stop);
    this.stopped = compute.scalar(stopped);
  }

  /// How the numbers lie in memory.
  static FlatLayout layout() {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    for (String name :
        List.of(
            StepGraph.LEARNING_RATE,
            StepGraph.STEP,
            StepGraph.LOSS,
            StepGraph.GRADIENT_NORM,
            StepGraph.STOPPED)) {
      shapes.put(name, Shape.scalar());
    }
    return FlatLayout.of(shapes);
  }

  /// Tells the next step what it is.
  ///
  /// @param index its number, from 0
  /// @param rate learning rate
  /// @param wantsStop whether this rank asks all to stop after it
  void tell(long index, float rate, boolean wantsStop) {
    stop.set(wantsStop ? 1 : 0);
    learningRate.set(rate);
    number.set((float) (index + 1));
  }

  /// Returns the mean loss of the last step.
  float loss() {
    return loss.get();
  }

  /// Returns the gradient norm of the last step.
  float gradientNorm() {
    return gradientNorm.get();
  }

  /// Returns whether a rank asked to stop in the last step.
  boolean stopped() {
    return stopped.get() > 0;
  }
}
