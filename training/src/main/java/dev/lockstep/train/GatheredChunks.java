package dev.lockstep.train;

import dev.lockstep.device.Program;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.parallel.LaneRunner;
import dev.lockstep.train.parallel.SplitProgram;
import dev.lockstep.train.pipeline.Chunk;
import dev.lockstep.train.pipeline.ChunkPrograms;
import dev.lockstep.train.pipeline.StageChunks;
import dev.lockstep.train.pipeline.StageWork.Way;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The programs of a stage's chunks over parameters that the same stage of all pipelines holds in
/// shards (ZeRO 3): each way gathers them layer by layer, with all pipelines.
final class GatheredChunks implements ChunkPrograms {
  private static final GatheredProgram.PhaseListener NOBODY = _ -> {};

  private final StageChunks stage;
  private final Map<String, Tensor> data;
  private final List<GatheredProgram> forward = new ArrayList<>(); // by the stage's chunk
  private final List<Optional<GatheredProgram>> backward = new ArrayList<>();
  private final Map<Way, SplitProgram.Bound> bound = new HashMap<>();

  /// Compiles the programs.
  ///
  /// @param stage the stage's chunks
  /// @param uses what they use of the parameters
  /// @param state the parameters, sharded; borrowed
  /// @param data where a lane's data live
  GatheredChunks(
      RankCompute compute,
      StageChunks stage,
      List<ParameterUse> uses,
      ModelState state,
      Map<String, Tensor> data) {
    this.stage = stage;
    this.data = Map.copyOf(data);
    List<GatheredProgram> all = GatheredProgram.together(compute, stage.graphs(), uses, state);
    int next = 0;
    for (Chunk chunk : stage.chunks()) {
      forward.add(all.get(next++));
      backward.add(chunk.backward().isPresent() ? Optional.of(all.get(next++)) : Optional.empty());
    }
  }

  private GatheredProgram program(int chunk, boolean back) {
    int own = stage.own(chunk);
    return back ? backward.get(own).orElse(forward.get(own)) : forward.get(own);
  }

  /// Returns when the program gathers that computes the gradients of one of the stage's chunks.
  GatherPlan gradientPlan(int own) {
    return backward.get(own).orElse(forward.get(own)).plan();
  }

  @Override
  public LaneRunner.Run bind(Way way, Map<String, Tensor> sections, Map<String, Tensor> sums) {
    return bind(way, sections, sums, NOBODY);
  }

  /// Returns what computes a way.
  ///
  /// @param end hears of its phases
  LaneRunner.Run bind(
      Way way,
      Map<String, Tensor> sections,
      Map<String, Tensor> sums,
      GatheredProgram.PhaseListener end) {
    GatheredProgram program = program(way.chunk(), way.back());
    SplitProgram.Bound tensors =
        bound.computeIfAbsent(
            way,
            _ -> {
              Map<String, Tensor> all = new HashMap<>(data);
              all.putAll(sections);
              if (way.back()) {
                all.putAll(sums);
              }
              return program.bound(all);
            });
    return _ -> program.run(tensors, end);
  }

  @Override
  public LaneRunner.Run lend(int chunk, boolean back) {
    return lend(chunk, back, NOBODY);
  }

  /// Returns what takes part in a way of the other pipelines.
  ///
  /// @param end hears of its phases
  LaneRunner.Run lend(int chunk, boolean back, GatheredProgram.PhaseListener end) {
    GatheredProgram program = program(chunk, back);
    return _ -> program.run(null, end);
  }

  @Override
  public List<Program> forwardPrograms() {
    return forward.stream().flatMap(program -> program.segments().stream()).toList();
  }

  @Override
  public List<Program> backwardPrograms() {
    return backward.stream()
        .flatMap(Optional::stream)
        .flatMap(program -> program.segments().stream())
        .toList();
  }
}
