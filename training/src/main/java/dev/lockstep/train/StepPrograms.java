package dev.lockstep.train;

import dev.lockstep.device.Program;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.data.Batches;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.NormLeaves;
import dev.lockstep.train.optim.StateShards;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.optim.StepPlace;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.SplitProgram;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;

/// A training step of one rank: its lanes, then the step program. Steps allocate nothing.
final class StepPrograms implements Steps {
  private static final ValueLayout.OfInt I32 =
      ValueLayout.JAVA_INT.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final RankCompute compute;
  private final Batches batches;
  private final DataInput input;
  private final SummedLanes lanes;
  private final SplitProgram stepProgram;
  private final SplitProgram.Bound step;
  private final StepScalars scalars;
  private final IntConsumer fill = this::fill;
  private long index;

  /// Compiles the programs.
  ///
  /// @param reduction how gradients are reduced
  /// @param state updated in place; borrowed
  StepPrograms(
      RankCompute compute,
      Recipe recipe,
      GradientReduction reduction,
      TrainedState state,
      Batches batches) {
    this.compute = compute;
    this.batches = batches;
    LaneSplit split = LaneSplit.contiguous(recipe.batch().lanes(), compute.ranks());
    input = new DataInput(compute, recipe.batch().microBatch(), recipe.model().context());
    Map<String, Tensor> held = state.parameters().bindings(reduction.uses());
    lanes = reduction.lanes(compute, split, input.with(reduction.lane(), held));
    FlatTensors numbers = compute.allocate("step scalars", StepScalars.layout());
    StepPlace place = compute.grid().stepPlace(split, null);
    stepProgram =
        new SplitProgram(
            compute.scope(),
            compute.device(),
            reduction.step(recipe.optimizer(), place),
            compute.exchange());
    Map<String, Tensor> bindings = bindings(state, numbers);
    if (compute.grid().isSplit()) {
      int[] order = leaves(reduction.uses(), place).order();
      bindings.put(StepGraph.LEAF_ORDER, leafOrder(compute, order));
    }
    step = stepProgram.bind(bindings);
    scalars = new StepScalars(compute, numbers, lanes.stop(), step.tensor(StepGraph.STOPPED));
  }

  /// Returns the shapes of what a rank holds of gradients, by use.
  static Map<String, Shape> gradients(Grid grid, List<ParameterUse> uses) {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    uses.forEach(use -> shapes.put(use.gradientName(), grid.localShape(use.parameter())));
    return shapes;
  }

  /// How the sums of a lane lie in memory.
  ///
  /// @param losses whether the rank computes the loss
  static FlatLayout sums(Grid grid, List<ParameterUse> uses, boolean losses) {
    return sums(gradients(grid, uses), losses);
  }

  /// How the sums of a lane lie in memory.
  ///
  /// @param gradients shapes by name, in the order in which they lie
  /// @param losses whether the rank computes the loss
  static FlatLayout sums(Map<String, Shape> gradients, boolean losses) {
    Map<String, Shape> shapes = new LinkedHashMap<>(gradients);
    if (losses) {
      shapes.put(StepGraph.LOSS_SUM, Shape.scalar());
      shapes.put(StepGraph.COUNT, Shape.scalar());
    }
    shapes.put(StepGraph.STOP, Shape.scalar());
    return FlatLayout.of(shapes);
  }

  private static NormLeaves leaves(List<ParameterUse> uses, StepPlace place) {
    List<Parameter> parameters = uses.stream().map(ParameterUse::parameter).distinct().toList();
    return new NormLeaves(StateShards.whole(parameters, place));
  }

  /// Brings the order of the norm's leaves to the device.
  static Tensor leafOrder(RankCompute compute, int[] order) {
    long bytes = (long) order.length * DType.I32.bytes();
    Buffer buffer = compute.allocate(StepGraph.LEAF_ORDER, bytes);
    Tensor tensor = Tensor.of(buffer, DType.I32, Shape.of(order.length));
    MemorySegment host = compute.arena().allocate(bytes, DType.I32.bytes());
    for (int i = 0; i < order.length; i++) {
      host.setAtIndex(I32, i, order[i]);
    }
    compute.stream().copyIn(tensor, host);
    return tensor;
  }

  private Map<String, Tensor> bindings(TrainedState state, FlatTensors numbers) {
    Map<String, Tensor> bindings = new HashMap<>(numbers.byName());
    bindings.putAll(state.parameters().byName());
    bindings.putAll(state.moments().byName());
    bindings.putAll(lanes.results());
    return bindings;
  }

  /// Takes a step; all ranks call this together.
  ///
  /// @param index number of the step, from 0
  /// @param rate learning rate
  /// @param wantsStop whether this rank asks all to stop after it
  @Override
  public void run(long index, float rate, boolean wantsStop) {
    this.index = index;
    lanes.run(compute.stream(), fill);
    scalars.tell(index, rate, wantsStop);
    lanes.await();
    step.run(compute.stream());
  }

  @Override
  public void ahead(long next) {
    input.ahead(batches, next);
  }

  private void fill(int lane) {
    input.fill(batches, index, lane);
  }

  /// Returns the programs by what they do.
  @Override
  public Map<String, List<Program>> programs() {
    Map<String, List<Program>> programs = new LinkedHashMap<>();
    programs.put("lanes", lanes.lanePrograms());
    programs.put("joins", lanes.joinPrograms());
    programs.put("update", stepProgram.segments());
    return programs;
  }

  @Override
  public StepScalars scalars() {
    return scalars;
  }
}
