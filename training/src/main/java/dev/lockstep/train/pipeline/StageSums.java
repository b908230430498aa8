package dev.lockstep.train.pipeline;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.Program;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatRange;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.parallel.LaneRunner;
import dev.lockstep.train.parallel.LaneSums;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// The work of a stage that joins its lanes' sums by itself. Afterwards sum `i` holds the sums of
/// the stage's subtree `i`. Confined to the thread of its stream.
public final class StageSums implements StageWork {
  private final ChunkPrograms programs;
  private final StageChunks stage;
  private final LanePlan plan;
  private final List<FlatTensors> sums = new ArrayList<>();
  private final List<FlatRange> ranges;
  private final Map<Integer, Program> joins = new HashMap<>(); // by the stage's chunk

  /// Compiles the programs.
  ///
  /// @param scope owns programs and memory
  /// @param stage the stage's chunks
  /// @param plan how lanes are summed
  /// @param programs what computes the chunks
  /// @param layout how the stage's sums of a lane lie; empty where it sums nothing
  /// @param ranges which of them each of the stage's chunks has
  public StageSums(
      Scope scope,
      Device device,
      StageChunks stage,
      LanePlan plan,
      ChunkPrograms programs,
      FlatLayout layout,
      List<FlatRange> ranges) {
    this.stage = stage;
    this.plan = plan;
    this.programs = programs;
    this.ranges = List.copyOf(ranges);
    for (int i = 0; i < plan.slots() && layout.bytes() > 0; i++) {
      FlatTensors slot = FlatTensors.allocateShared(device, "stage sums " + i, layout);
      sums.add(scope.own(slot, FlatTensors::close));
    }
    for (int chunk = 0; chunk < ranges.size(); chunk++) {
      long elements = ranges.get(chunk).elements();
      if (elements > 0) {
        Program join = device.compile(LaneSums.join(elements));
        joins.put(chunk, scope.own(join, Program::close));
      }
    }
  }

  @Override
  public LaneRunner.Run compute(Way way, int round, Map<String, Tensor> sections) {
    return programs.bind(way, sections, sums.isEmpty() ? Map.of() : sums.get(way.sum()).byName());
  }

  @Override
  public LaneRunner.Run join(int chunk, int into, int from) {
    Program join = joins.get(stage.own(chunk));
    if (join == null) {
      return _ -> {};
    }
    BoundProgram bound =
        join.bind(LaneSums.joined(vector(sums.get(into), chunk), vector(sums.get(from), chunk)));
    return stream -> stream.run(bound);
  }

  private Tensor vector(FlatTensors slot, int chunk) {
    return ranges.get(stage.own(chunk)).of(slot);
  }

  @Override
  public LaneRunner.Run reduce(int chunk, int round) {
    throw new IllegalStateException("the stage joins its lanes by itself: round=" + round);
  }

  @Override
  public LaneRunner.Run lend(int chunk, int round, boolean back) {
    return programs.lend(chunk, back);
  }

  /// Returns the sums of all subtrees as inputs of a step program ([StepGraph#subtreeInput]).
  public Map<String, Tensor> subtreeInputs() {
    Map<String, Tensor> found = new HashMap<>();
    for (int i = 0; i < sums.size() && i < plan.held().size(); i++) {
      int index = i;
      sums.get(i)
          .byName()
          .forEach((name, tensor) -> found.put(StepGraph.subtreeInput(name, index), tensor));
    }
    return found;
  }

  /// Returns the sums of the stage's subtree `index`.
  public FlatTensors subtree(int index) {
    return sums.get(index);
  }

  /// Returns the programs that join the sums of two subtrees, if the stage sums anything.
  public List<Program> joinPrograms() {
    return List.copyOf(joins.values());
  }
}
