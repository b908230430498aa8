package dev.lockstep.train;

import dev.lockstep.device.Program;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.data.Batches;
import dev.lockstep.train.model.GptPrograms;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.HostScalar;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.parallel.LaneSums;
import dev.lockstep.train.parallel.SplitProgram;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;

/// A training step of one rank: its lanes, then the step program. Steps allocate nothing.
final class StepPrograms {
  private final RankCompute compute;
  private final Batches batches;
  private final DataInput input;
  private final LaneSums lanes;
  private final SplitProgram step;
  private final HostScalar learningRate;
  private final HostScalar number;
  private final HostScalar stop;
  private final HostScalar stopped;
  private final HostScalar loss;
  private final HostScalar gradientNorm;
  private final IntConsumer fill = this::fill;
  private long index;

  /// Compiles the programs.
  ///
  /// @param state updated in place; borrowed
  StepPrograms(
      RankCompute compute, Recipe recipe, GptPrograms programs, State state, Batches batches) {
    this.compute = compute;
    this.batches = batches;
    LaneSplit split = LaneSplit.contiguous(recipe.batch().lanes(), compute.ranks());
    LanePlan plan = LanePlan.of(split.ranks().get(compute.rank()));
    GptPrograms.Traced traced = programs.lane(recipe.batch().microBatch());
    input = new DataInput(compute, recipe.batch().microBatch(), recipe.model().context());
    lanes =
        new LaneSums(
            compute.scope(),
            compute.device(),
            plan,
            new LaneSums.LaneProgram(
                traced.graph(),
                sums(traced.uses()),
                input.with(state.parameters.bindings(traced.uses()))));
    FlatTensors scalars = compute.allocate("step scalars", scalarLayout());
    step =
        new SplitProgram(
            compute.scope(),
            compute.device(),
            StepGraph.trace(traced.uses(), recipe.optimizer(), split, compute.rank()),
            compute.exchange(),
            bindings(state, scalars));
    learningRate = scalar(scalars.get(StepGraph.LEARNING_RATE));
    number = scalar(scalars.get(StepGraph.STEP));
    loss = scalar(scalars.get(StepGraph.LOSS));
    gradientNorm = scalar(scalars.get(StepGraph.GRADIENT_NORM));
    stop = scalar(lanes.subtree(0).get(StepGraph.STOP));
    stopped = scalar(step.tensor(StepGraph.STOPPED));
  }

  /// What the steps change.
  ///
  /// @param parameters the model's parameters
  /// @param moments the optimizer's moments
  record State(ModelState parameters, ModelState moments) {}

  private HostScalar scalar(Tensor tensor) {
    return compute.scalar(tensor);
  }

  /// How the sums of a lane lie in memory.
  static FlatLayout sums(List<ParameterUse> uses) {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    uses.forEach(use -> shapes.put(use.gradientName(), use.parameter().shape()));
    shapes.put(StepGraph.LOSS_SUM, Shape.scalar());
    shapes.put(StepGraph.COUNT, Shape.scalar());
    shapes.put(StepGraph.STOP, Shape.scalar());
    return FlatLayout.of(shapes);
  }

  /// How the step's numbers lie in memory.
  static FlatLayout scalarLayout() {
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

  private Map<String, Tensor> bindings(State state, FlatTensors scalars) {
    Map<String, Tensor> bindings = new HashMap<>(scalars.byName());
    bindings.putAll(state.parameters.byName());
    bindings.putAll(state.moments.byName());
    bindings.putAll(lanes.subtreeInputs());
    return bindings;
  }

  /// Takes a step; all ranks call this together.
  ///
  /// @param index number of the step, from 0
  /// @param rate learning rate
  /// @param wantsStop whether this rank asks all to stop after it
  void run(long index, float rate, boolean wantsStop) {
    this.index = index;
    lanes.run(compute.stream(), fill);
    stop.set(wantsStop ? 1 : 0);
    learningRate.set(rate);
    number.set((float) (index + 1));
    step.run(compute.stream());
  }

  private void fill(int lane) {
    batches.fill(index, lane, input.tokens(), input.targets());
    input.send();
  }

  /// Returns the programs by what they do.
  Map<String, List<Program>> programs() {
    Map<String, List<Program>> programs = new LinkedHashMap<>();
    programs.put("lanes", List.of(lanes.laneProgram()));
    programs.put("joins", List.of(lanes.joinProgram()));
    programs.put("update", step.segments());
    return programs;
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
