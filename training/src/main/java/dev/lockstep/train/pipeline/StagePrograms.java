package dev.lockstep.train.pipeline;

import dev.lockstep.device.Device;
import dev.lockstep.device.Program;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphSplitter.Segments;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.parallel.LaneRunner;
import dev.lockstep.train.parallel.SplitProgram;
import dev.lockstep.train.pipeline.StageWork.Way;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The programs of a stage's chunks, over parameters that it holds. One of them runs at a time, and
/// they share what they compute in.
public final class StagePrograms implements ChunkPrograms {
  private final StageChunks stage;
  private final Map<String, Tensor> inputs;
  private final List<SplitProgram> forward = new ArrayList<>();
  private final List<Optional<SplitProgram>> backward = new ArrayList<>();
  private final Map<Way, LaneRunner.Run> bound = new HashMap<>();

  /// Compiles the programs.
  ///
  /// @param scope owns the programs
  /// @param exchange runs their collectives
  /// @param stage the stage's chunks
  /// @param inputs where weights and data live
  public StagePrograms(
      Scope scope,
      Device device,
      Exchange exchange,
      StageChunks stage,
      Map<String, Tensor> inputs) {
    this.stage = stage;
    this.inputs = Map.copyOf(inputs);
    List<Segments> segments =
        stage.graphs().stream().map(graph -> SplitProgram.cut(graph, device)).toList();
    List<SplitProgram> compiled = SplitProgram.together(scope, device, segments, exchange);
    int next = 0;
    for (Chunk chunk : stage.chunks()) {
      forward.add(compiled.get(next++));
      backward.add(
          chunk.backward().isPresent() ? Optional.of(compiled.get(next++)) : Optional.empty());
    }
  }

  @Override
  public LaneRunner.Run bind(Way way, Map<String, Tensor> sections, Map<String, Tensor> sums) {
    return bound.computeIfAbsent(way, _ -> bound(way, sections, sums));
  }

  private LaneRunner.Run bound(Way way, Map<String, Tensor> sections, Map<String, Tensor> sums) {
    int chunk = stage.own(way.chunk());
    SplitProgram program =
        way.back() ? backward.get(chunk).orElse(forward.get(chunk)) : forward.get(chunk);
    Map<String, Tensor> all = new HashMap<>(inputs);
    all.putAll(sections);
    if (way.back()) {
      for (Graph.Named output : program.graph().outputs()) {
        Tensor found = sums.get(output.name());
        if (found != null) {
          all.put(output.name(), found);
        }
      }
    }
    return program.bind(all);
  }

  @Override
  public LaneRunner.Run lend(int chunk, boolean back) {
    throw new IllegalStateException("the stage holds its parameters: chunk=" + chunk);
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
