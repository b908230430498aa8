package dev.lockstep.train;

import dev.lockstep.device.Program;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.parallel.FlatRange;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.pipeline.ChunkPrograms;
import dev.lockstep.train.pipeline.PipelinePlan;
import dev.lockstep.train.pipeline.StageChunks;
import dev.lockstep.train.pipeline.StageLanes;
import dev.lockstep.train.pipeline.StagePrograms;
import dev.lockstep.train.pipeline.StageSums;
import dev.lockstep.train.pipeline.StageWork;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;

/// The lanes of a step of a stage whose state, and with it the sums of gradients or the parameters,
/// the pipelines share out. In stages 2 and 3 of ZeRO the pipelines take lanes in rounds, and each
/// round's gradients are reduced to shards chunk by chunk as they come.
final class StagedShards {
  private final RankCompute compute;
  private final StageLanes lanes;
  private final FlatTensors sums;
  private final List<FlatTensors> held = new ArrayList<>();
  private final Map<String, List<Program>> programs = new LinkedHashMap<>();

  /// Compiles the programs; all ranks of the pipelines do so together.
  ///
  /// @param plan what the stages do
  /// @param parameters of the stage; borrowed
  StagedShards(
      RankCompute compute,
      Recipe recipe,
      PipelinePlan plan,
      Stages stages,
      ModelState parameters,
      GradientGroups groups,
      DataInput input) {
    this.compute = compute;
    Grid grid = compute.grid();
    StageChunks chunks = stages.chunks();
    int count = recipe.batch().lanes();
    StageWork work;
    if (grid.isGathered()) {
      Map<String, Tensor> data = Stages.only(input.with(stages.lane().graph(), Map.of()), chunks);
      GatheredChunks gathered = new GatheredChunks(compute, chunks, stages.own(), parameters, data);
      GatheredWork shards = new GatheredWork(compute, chunks, groups, gathered, count);
      add(gathered, shards.shards().joinPrograms());
      sums = shards.shards().sums();
      work = shards;
    } else {
      StagePrograms own = programs(compute, stages, parameters, input, chunks);
      if (grid.zero() == 2) {
        LaneRounds rounds = new LaneRounds(compute, groups, count);
        add(own, rounds.shards().joinPrograms());
        sums = rounds.shards().sums();
        work = new RoundWork(chunks, own, rounds);
      } else {
        LaneSplit split = LaneSplit.contiguous(count, compute.ranks());
        LanePlan tree = LanePlan.of(split.ranks().get(compute.rank()));
        StageSums joined =
            new StageSums(
                compute.scope(),
                compute.device(),
                chunks,
                tree,
                own,
                groups.layout(),
                FlatRange.cut(groups.layout(), firsts(stages)));
        for (int i = 0; i < tree.held().size(); i++) {
          held.add(joined.subtree(i));
        }
        add(own, joined.joinPrograms());
        sums = compute.allocateShared("gradient shard 0", groups.shardLayout(compute.rank()));
        work = joined;
      }
    }
    lanes =
        new StageLanes(compute.scope(), compute.device(), compute.exchange(), plan, chunks, work);
  }

  /// Compiles the programs of a stage that holds its parameters.
  static StagePrograms programs(
      RankCompute compute,
      Stages stages,
      ModelState parameters,
      DataInput input,
      StageChunks chunks) {
    Map<String, Tensor> inputs =
        input.with(stages.lane().graph(), parameters.bindings(stages.own()));
    return new StagePrograms(
        compute.scope(), compute.device(), compute.exchange(), chunks, Stages.only(inputs, chunks));
  }

  /// Returns what the gradient of each chunk's first weight is called.
  static List<String> firsts(Stages stages) {
    return stages.ownByChunk().stream()
        .map(List::getFirst)
        .map(ParameterUse::gradientName)
        .toList();
  }

  private void add(ChunkPrograms chunks, List<Program> joins) {
    programs.put("forward", chunks.forwardPrograms());
    if (!chunks.backwardPrograms().isEmpty()) {
      programs.put("backward", chunks.backwardPrograms());
    }
    programs.put("joins", joins);
  }

  /// Returns the sums of the stage's subtrees, which are still to be reduced to [#sums]: in stage 1
  /// alone.
  List<FlatTensors> held() {
    return held;
  }

  /// Returns where the shard of all lanes' sums is after [#run], or goes.
  FlatTensors sums() {
    return sums;
  }

  /// Returns the programs by what they do.
  Map<String, List<Program>> programs() {
    return programs;
  }

  /// Runs all lanes.
  ///
  /// @param fill brings a lane's data to where they are bound
  void run(IntConsumer fill) {
    lanes.run(compute.stream(), fill);
  }
}
