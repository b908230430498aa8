package dev.lockstep.train.parallel;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.optim.StepGraph;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;

/// Runs one rank's lanes, one after another with the same compiled program, and joins their sums as
/// a [LanePlan] says. Afterwards slot `i` holds the sums of the rank's subtree `i`. Confined to the
/// thread of its stream; running allocates nothing.
public final class LaneSums {
  private static final String INTO = "into";
  private static final String FROM = "from";

  private final LaneRunner laneProgram;
  private final Graph lane;
  private final List<Program> joinPrograms;
  private final List<FlatTensors> slots = new ArrayList<>();
  private final int subtrees;
  private final int[] lanes;
  private final BoundProgram[] joins;
  private final LaneRunner.Run[] runs;

  /// Compiles and binds.
  ///
  /// @param scope owns programs and slots
  /// @param exchange runs the collectives of the lane program
  public LaneSums(Scope scope, Device device, Exchange exchange, LanePlan plan, LaneProgram lane) {
    this(scope, device, new SplitProgram(scope, device, lane.graph, exchange), plan, lane);
  }

  /// Binds a compiled program.
  ///
  /// @param scope owns the program of joins and the slots
  /// @param runner the lane program
  public LaneSums(Scope scope, Device device, LaneRunner runner, LanePlan plan, LaneProgram lane) {
    this.lane = lane.graph;
    for (int i = 0; i < plan.slots(); i++) {
      String name = lane.graph.name() + " sums " + i;
      FlatTensors slot =
          i < plan.held().size()
              ? FlatTensors.allocateShared(device, name, lane.sums)
              : FlatTensors.allocate(device, name, lane.sums);
      slots.add(scope.own(slot, FlatTensors::close));
    }
    subtrees = plan.held().size();
    laneProgram = runner;
    boolean joinsAny = plan.actions().stream().anyMatch(LanePlan.Action.Join.class::isInstance);
    joinPrograms =
        joinsAny
            ? List.of(scope.own(device.compile(join(lane.sums.elements())), Program::close))
            : List.of();
    List<LaneRunner.Run> bySlot = slots.stream().map(slot -> bindLane(slot, lane.inputs)).toList();
    lanes = new int[plan.actions().size()];
    joins = new BoundProgram[plan.actions().size()];
    runs = new LaneRunner.Run[plan.actions().size()];
    for (int i = 0; i < lanes.length; i++) {
      switch (plan.actions().get(i)) {
        case LanePlan.Action.Run(int index, int slot) -> {
          lanes[i] = index;
          runs[i] = bySlot.get(slot);
        }
        case LanePlan.Action.Join(int into, int from) -> {
          lanes[i] = -1;
          joins[i] = bindJoin(into, from);
        }
      }
    }
  }

  /// What computes a lane.
  ///
  /// @param graph the program; each of its outputs has a place in a slot
  /// @param sums layout of a slot
  /// @param inputs where the program's inputs live
  public record LaneProgram(Graph graph, FlatLayout sums, Map<String, Tensor> inputs) {
    /// Copies the map.
    public LaneProgram {
      inputs = Map.copyOf(inputs);
    }
  }

  /// Returns the program that adds one slot into another.
  public static Graph join(long elements) {
    GraphBuilder builder = new GraphBuilder("join lanes");
    Value into = builder.input(INTO, ValueType.f32(elements));
    Value from = builder.input(FROM, ValueType.f32(elements));
    builder.outputInto("sum", builder.one(new Primitive.Add(), into, from), INTO);
    return builder.build();
  }

  private LaneRunner.Run bindLane(FlatTensors slot, Map<String, Tensor> inputs) {
    Map<String, Tensor> bound = new HashMap<>(inputs);
    for (Graph.Named output : lane.outputs()) {
      bound.put(output.name(), slot.get(output.name()));
    }
    return laneProgram.bind(bound);
  }

  /// Returns the bindings of [#join].
  public static Map<String, Tensor> joined(Tensor into, Tensor from) {
    return Map.of(INTO, into, FROM, from);
  }

  private BoundProgram bindJoin(int into, int from) {
    return joinPrograms.getFirst().bind(joined(slots.get(into).whole(), slots.get(from).whole()));
  }

  /// Runs all lanes and joins.
  ///
  /// @param fill brings a lane's input to where it is bound, before that lane runs
  public void run(Stream stream, IntConsumer fill) {
    for (int i = 0; i < lanes.length; i++) {
      if (lanes[i] >= 0) {
        fill.accept(lanes[i]);
        runs[i].run(stream);
      } else {
        stream.run(joins[i]);
      }
    }
  }

  /// Returns the sums of all subtrees as inputs of a step program ([StepGraph#subtreeInput]).
  public Map<String, Tensor> subtreeInputs() {
    Map<String, Tensor> inputs = new HashMap<>();
    for (int i = 0; i < subtrees; i++) {
      int index = i;
      slots
          .get(i)
          .byName()
          .forEach((name, tensor) -> inputs.put(StepGraph.subtreeInput(name, index), tensor));
    }
    return inputs;
  }

  /// Returns the programs of a lane, one after another.
  public List<Program> lanePrograms() {
    return laneProgram.segments();
  }

  /// Returns the program that joins the sums of two subtrees; none if nothing is joined.
  public List<Program> joinPrograms() {
    return joinPrograms;
  }

  /// Returns slot `index`: where the rank has a subtree of that number, its sums.
  public FlatTensors slot(int index) {
    return slots.get(index);
  }
}
