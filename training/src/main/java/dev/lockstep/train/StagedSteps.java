package dev.lockstep.train;

import dev.lockstep.device.Program;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.data.Batches;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.optim.StepPlace;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatRange;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.parallel.SplitProgram;
import dev.lockstep.train.pipeline.PipelinePlan;
import dev.lockstep.train.pipeline.StageChunks;
import dev.lockstep.train.pipeline.StageLanes;
import dev.lockstep.train.pipeline.StagePrograms;
import dev.lockstep.train.pipeline.StageSums;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;

/// Training steps of a stage of a pipeline: its layers' part of each lane, then the step program
/// for its parameters. Steps allocate nothing.
final class StagedSteps implements Steps {
  private final RankCompute compute;
  private final Batches batches;
  private final DataInput input;
  private final StagePrograms chunkPrograms;
  private final StageSums sums;
  private final StageLanes lanes;
  private final SplitProgram stepProgram;
  private final SplitProgram.Bound step;
  private final StepScalars scalars;
  private final IntConsumer fill = this::fill;
  private long index;

  /// Compiles the programs; the stages of a pipeline do so together.
  ///
  /// @param plan what the stages do
  /// @param state updated in place; borrowed
  StagedSteps(
      RankCompute compute,
      Recipe recipe,
      PipelinePlan plan,
      Stages stages,
      TrainedState state,
      Batches batches) {
    this.compute = compute;
    this.batches = batches;
    Grid grid = compute.grid();
    LaneSplit split = LaneSplit.contiguous(recipe.batch().lanes(), compute.ranks());
    input = new DataInput(compute, recipe.batch().microBatch(), recipe.model().context());
    StageChunks chunks = stages.chunks();
    chunkPrograms = StagedShards.programs(compute, stages, state.parameters(), input, chunks);
    FlatLayout layout = StepPrograms.sums(grid, stages.own(), stages.isLast());
    sums =
        new StageSums(
            compute.scope(),
            compute.device(),
            chunks,
            LanePlan.of(split.ranks().get(compute.rank())),
            chunkPrograms,
            layout,
            FlatRange.cut(layout, StagedShards.firsts(stages)));
    lanes =
        new StageLanes(compute.scope(), compute.device(), compute.exchange(), plan, chunks, sums);
    FlatTensors numbers = compute.allocate("step scalars", StepScalars.layout());
    StepPlace place = grid.stepPlace(split, stages.place());
    stepProgram =
        new SplitProgram(
            compute.scope(),
            compute.device(),
            StepGraph.trace(stages.own(), recipe.optimizer(), place),
            compute.exchange());
    Map<String, Tensor> bindings = new HashMap<>(numbers.byName());
    bindings.putAll(state.parameters().byName());
    bindings.putAll(state.moments().byName());
    bindings.putAll(sums.subtreeInputs());
    bindings.put(
        StepGraph.LEAF_ORDER, StepPrograms.leafOrder(compute, StepGraph.leaves(place).order()));
    step = stepProgram.bind(bindings);
    Tensor stop = sums.subtree(0).get(StepGraph.STOP);
    scalars = new StepScalars(compute, numbers, stop, step.tensor(StepGraph.STOPPED));
  }

  @Override
  public void run(long index, float rate, boolean wantsStop) {
    this.index = index;
    lanes.run(compute.stream(), fill);
    scalars.tell(index, rate, wantsStop);
    step.run(compute.stream());
  }

  @Override
  public void ahead(long next) {
    input.ahead(batches, next);
  }

  private void fill(int lane) {
    input.fill(batches, index, lane);
  }

  @Override
  public Map<String, List<Program>> programs() {
    Map<String, List<Program>> programs = new LinkedHashMap<>();
    programs.put("forward", chunkPrograms.forwardPrograms());
    if (!chunkPrograms.backwardPrograms().isEmpty()) {
      programs.put("backward", chunkPrograms.backwardPrograms());
    }
    programs.put("joins", sums.joinPrograms());
    programs.put("update", stepProgram.segments());
    return programs;
  }

  @Override
  public StepScalars scalars() {
    return scalars;
  }
}
