package dev.lockstep.train;

import dev.lockstep.device.Program;
import dev.lockstep.device.Support;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.data.Batches;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.NormLeaves;
import dev.lockstep.train.optim.StateShards;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.optim.StepPlace;
import dev.lockstep.train.parallel.BucketPlan;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.HostScalar;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.parallel.LaneSums;
import dev.lockstep.train.parallel.SplitProgram;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/// A training step of one rank: its lanes, then the step program. Steps allocate nothing.
final class StepPrograms implements Steps {
  private static final ValueLayout.OfInt I32 =
      ValueLayout.JAVA_INT.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final RankCompute compute;
  private final Batches batches;
  private final DataInput input;
  private final LaneSums lanes; // all, or but the last one
  private final @Nullable BucketedLane last;
  private final SplitProgram stepProgram;
  private final SplitProgram.Bound step;
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
  /// @param bucketBytes as in [TrainerOptions]
  StepPrograms(
      RankCompute compute,
      Recipe recipe,
      ModelPrograms programs,
      State state,
      Batches batches,
      long bucketBytes) {
    this.compute = compute;
    this.batches = batches;
    LaneSplit split = LaneSplit.contiguous(recipe.batch().lanes(), compute.ranks());
    LanePlan plan = LanePlan.of(split.ranks().get(compute.rank()));
    ModelPrograms.Traced traced = programs.lane(recipe.batch().microBatch());
    input = new DataInput(compute, recipe.batch().microBatch(), recipe.model().context());
    Graph graph = compute.grid().lay(traced);
    Map<String, Tensor> inputs =
        input.with(traced.graph(), state.parameters.bindings(traced.uses()));
    BucketPlan buckets =
        reducesInside(compute, split)
            ? null
            : buckets(graph, compute.grid(), traced.uses(), bucketBytes);
    SplitProgram program =
        new SplitProgram(
            compute.scope(),
            compute.device(),
            buckets == null ? SplitProgram.cut(graph, compute.device()) : buckets.segments(),
            compute.exchange());
    lanes =
        new LaneSums(
            compute.scope(),
            compute.device(),
            program,
            buckets == null ? plan : BucketedLane.before(plan),
            new LaneSums.LaneProgram(graph, sums(compute.grid(), traced.uses(), buckets), inputs));
    last =
        buckets == null
            ? null
            : new BucketedLane(compute, plan, lanes, program, inputs, buckets, split);
    FlatTensors scalars = compute.allocate("step scalars", scalarLayout());
    StepPlace place = compute.grid().stepPlace(split, null);
    stepProgram =
        new SplitProgram(
            compute.scope(),
            compute.device(),
            StepGraph.trace(traced.uses(), recipe.optimizer(), place, buckets != null),
            compute.exchange());
    Map<String, Tensor> bindings = bindings(state, scalars);
    if (compute.grid().isSplit()) {
      bindings.put(StepGraph.LEAF_ORDER, leafOrder(compute, leaves(traced.uses(), place).order()));
    }
    step = stepProgram.bind(bindings);
    learningRate = scalar(scalars.get(StepGraph.LEARNING_RATE));
    number = scalar(scalars.get(StepGraph.STEP));
    loss = scalar(scalars.get(StepGraph.LOSS));
    gradientNorm = scalar(scalars.get(StepGraph.GRADIENT_NORM));
    stop = scalar(lanes.slot(0).get(StepGraph.STOP));
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
  static FlatLayout sums(Grid grid, List<ParameterUse> uses) {
    return sums(grid, uses, true);
  }

  /// Whether the device itself reduces gradients, in its program of the step.
  private static boolean reducesInside(RankCompute compute, LaneSplit split) {
    Primitive reduce = new Primitive.AllReduce(Layout.DATA, new ReduceOp.Sum(), split);
    int held = split.ranks().get(compute.rank()).size();
    return compute.device().supports(reduce, Collections.nCopies(held, ValueType.f32(1)))
        instanceof Support.Yes;
  }

  /// Plans which gradients are reduced while the last lane goes on; null where all are reduced
  /// after it.
  ///
  /// @param bucketBytes as in [TrainerOptions]
  static @Nullable BucketPlan buckets(
      Graph lane, Grid grid, List<ParameterUse> uses, long bucketBytes) {
    if (grid.data().ranks() == 1 || bucketBytes == 0) {
      return null;
    }
    BucketPlan plan = BucketPlan.of(lane, gradients(grid, uses), bucketBytes);
    return plan.overlaps() ? plan : null;
  }

  private static Map<String, Shape> gradients(Grid grid, List<ParameterUse> uses) {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    uses.forEach(use -> shapes.put(use.gradientName(), grid.localShape(use.parameter())));
    return shapes;
  }

  /// How the sums of a lane lie in memory.
  ///
  /// @param buckets null where gradients are reduced together
  static FlatLayout sums(Grid grid, List<ParameterUse> uses, @Nullable BucketPlan buckets) {
    return sums(buckets == null ? gradients(grid, uses) : buckets.gradients(), true);
  }

  /// How the sums of a lane lie in memory.
  ///
  /// @param losses whether the rank computes the loss
  static FlatLayout sums(Grid grid, List<ParameterUse> uses, boolean losses) {
    return sums(gradients(grid, uses), losses);
  }

  private static FlatLayout sums(Map<String, Shape> gradients, boolean losses) {
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
    if (last != null) {
      bindings.putAll(last.sums());
    }
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
    if (last != null) {
      last.run(compute.stream(), fill);
    }
    stop.set(wantsStop ? 1 : 0);
    learningRate.set(rate);
    number.set((float) (index + 1));
    if (last != null) {
      last.await();
    }
    step.run(compute.stream());
    input.ahead(batches, index + 1);
  }

  private void fill(int lane) {
    input.fill(batches, index, lane);
  }

  /// Returns the programs by what they do.
  @Override
  public Map<String, List<Program>> programs() {
    Map<String, List<Program>> programs = new LinkedHashMap<>();
    programs.put("lanes", lanes.lanePrograms());
    List<Program> joins = new ArrayList<>(lanes.joinPrograms());
    if (last != null) {
      joins.addAll(last.joinPrograms());
    }
    programs.put("joins", joins);
    programs.put("update", stepProgram.segments());
    return programs;
  }

  /// Returns the mean loss of the last step.
  @Override
  public float loss() {
    return loss.get();
  }

  /// Returns the gradient norm of the last step.
  @Override
  public float gradientNorm() {
    return gradientNorm.get();
  }

  /// Returns whether a rank asked to stop in the last step.
  @Override
  public boolean stopped() {
    return stopped.get() > 0;
  }
}
