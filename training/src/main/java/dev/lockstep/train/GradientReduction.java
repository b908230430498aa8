package dev.lockstep.train;

import dev.lockstep.device.Device;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.device.Support;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphSplitter.Segments;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.AdamWOptions;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.optim.StepPlace;
import dev.lockstep.train.parallel.BucketPlan;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.parallel.LaneSums;
import dev.lockstep.train.parallel.SplitProgram;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntConsumer;

/// How the gradients of a rank that holds all of the state are reduced over the axis of lanes: all
/// together by the program that follows the lanes, or in buckets behind the last lane.
///
/// @param lane the rank's program of a lane
/// @param uses of parameters in it
/// @param shapes of the gradients by name, in the order in which they lie
/// @param buckets which of them are reduced together; empty where all are
record GradientReduction(
    Graph lane, List<ParameterUse> uses, Map<String, Shape> shapes, Optional<BucketPlan> buckets) {

  /// Plans the reduction by the host.
  ///
  /// @param bucketBytes as in [TrainerOptions]; 0 where devices reduce gradients themselves
  static GradientReduction plan(ModelPrograms.Traced traced, Grid grid, long bucketBytes) {
    Graph lane = grid.lay(traced);
    Map<String, Shape> shapes = StepPrograms.gradients(grid, traced.uses());
    Optional<BucketPlan> buckets =
        grid.data().ranks() == 1 || bucketBytes == 0
            ? Optional.empty()
            : Optional.of(BucketPlan.of(lane, shapes, bucketBytes)).filter(BucketPlan::overlaps);
    return new GradientReduction(
        lane, traced.uses(), buckets.map(BucketPlan::gradients).orElse(shapes), buckets);
  }

  /// Plans the reduction where a rank computes: a device that reduces inside its programs does so
  /// in that of the step.
  ///
  /// @param bucketBytes as in [TrainerOptions]
  static GradientReduction plan(
      RankCompute compute, Recipe recipe, ModelPrograms programs, long bucketBytes) {
    LaneSplit split = LaneSplit.contiguous(recipe.batch().lanes(), compute.ranks());
    Primitive reduce = new Primitive.AllReduce(Layout.DATA, new ReduceOp.Sum(), split);
    int held = split.ranks().get(compute.rank()).size();
    List<ValueType> terms = Collections.nCopies(held, ValueType.f32(1));
    boolean isInside = compute.device().supports(reduce, terms) instanceof Support.Yes;
    ModelPrograms.Traced lane = programs.lane(recipe.batch().microBatch());
    return plan(lane, compute.grid(), isInside ? 0 : bucketBytes);
  }

  /// Returns how the sums of a lane lie in memory.
  FlatLayout sums() {
    return StepPrograms.sums(shapes, true);
  }

  /// Returns the program of a lane as a device is given it: cut where a bucket is complete, and at
  /// collectives that it does not keep.
  Segments segments(Device device) {
    return buckets.map(BucketPlan::segments).orElseGet(() -> SplitProgram.cut(lane, device));
  }

  /// Traces the program that follows the lanes.
  Graph step(AdamWOptions options, StepPlace place) {
    return StepGraph.trace(uses, options, place, buckets.isPresent());
  }

  /// Compiles the lanes of a rank.
  ///
  /// @param split which lanes each rank holds
  /// @param inputs where the inputs of the lane's program live; borrowed
  SummedLanes lanes(RankCompute compute, LaneSplit split, Map<String, Tensor> inputs) {
    SplitProgram program =
        new SplitProgram(
            compute.scope(), compute.device(), segments(compute.device()), compute.exchange());
    LaneSums.LaneProgram summed = new LaneSums.LaneProgram(lane, sums(), inputs);
    LanePlan plan = LanePlan.of(split.ranks().get(compute.rank()));
    if (buckets.isEmpty()) {
      return new Together(new LaneSums(compute.scope(), compute.device(), program, plan, summed));
    }
    LaneSums before =
        new LaneSums(
            compute.scope(), compute.device(), program, BucketedLanes.before(plan), summed);
    return new BucketedLanes(compute, split, before, program, inputs, buckets.get());
  }

  /// Lanes whose sums the program that follows reduces.
  private record Together(LaneSums lanes) implements SummedLanes {
    @Override
    public void run(Stream stream, IntConsumer fill) {
      lanes.run(stream, fill);
    }

    @Override
    public void await() {}

    @Override
    public Map<String, Tensor> results() {
      return lanes.subtreeInputs();
    }

    @Override
    public Tensor stop() {
      return lanes.slot(0).get(StepGraph.STOP);
    }

    @Override
    public List<Program> lanePrograms() {
      return lanes.lanePrograms();
    }

    @Override
    public List<Program> joinPrograms() {
      return lanes.joinPrograms();
    }
  }
}
