package dev.lockstep.train;

import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.Graph;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.StateShards;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.LaneRunner;
import dev.lockstep.train.parallel.SplitProgram;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// A program over parameters that the ranks of the data axis hold in shards (ZeRO 3), run as a
/// [GatherPlan] says. All ranks run it together: one that has no lane gives its shards, by [#idle].
final class GatheredProgram implements LaneRunner {
  private static final Exchange.Prepared[] NONE = {};

  private final GatherPlan plan;
  private final SplitProgram program;
  private final Stream stream;
  private final Exchange exchange;
  private final Exchange.Prepared[][] gathers; // by the phase that first reads what they gather
  private final List<Map<String, Tensor>> parameters = new ArrayList<>(); // by phase

  /// Hears of phases.
  interface PhaseListener {
    /// Called when a phase has been computed, by ranks without a lane too.
    void at(int phase);
  }

  private GatheredProgram(
      RankCompute compute,
      GatherPlan plan,
      SplitProgram program,
      List<ParameterUse> uses,
      ModelState state,
      Buffer memory) {
    this.plan = plan;
    this.program = program;
    StateShards shards = compute.grid().shards(state.held());
    stream = compute.stream();
    exchange = compute.exchange();
    gathers = new Exchange.Prepared[plan.phases().size()][];
    Map<GatherPlan.Gather, Exchange.Prepared> prepared = new HashMap<>();
    for (int phase = 0; phase < gathers.length; phase++) {
      int now = phase;
      List<GatherPlan.Gather> starting =
          plan.gathers().stream().filter(gather -> gather.first() == now).toList();
      List<Exchange.Prepared> made = new ArrayList<>();
      for (GatherPlan.Gather gather : starting) {
        // One prepared collective for all gathers of a unit to the same memory.
        GatherPlan.Gather alike = new GatherPlan.Gather(gather.unit(), 0, 0, gather.offset());
        made.add(
            prepared.computeIfAbsent(alike, _ -> prepare(compute, shards, state, gather, memory)));
      }
      gathers[phase] = made.toArray(NONE);
      parameters.add(gathered(phase, uses, compute.grid(), shards, state.layout(), memory));
    }
  }

  /// Compiles a program and prepares its gathers.
  ///
  /// @param graph what the rank computes
  /// @param uses the parameters that it reads
  /// @param state the parameters, sharded; borrowed
  static GatheredProgram of(
      RankCompute compute, Graph graph, List<ParameterUse> uses, ModelState state) {
    return together(compute, List.of(graph), uses, state).getFirst();
  }

  /// Compiles programs of which one runs at a time: they share the memory of what is gathered.
  ///
  /// @param graphs what the rank computes
  /// @param uses the parameters that they read
  /// @param state the parameters, sharded; borrowed
  static List<GatheredProgram> together(
      RankCompute compute, List<Graph> graphs, List<ParameterUse> uses, ModelState state) {
    StateShards shards = compute.grid().shards(state.held());
    List<GatherPlan> plans =
        graphs.stream().map(graph -> plan(graph, uses, shards, state.layout())).toList();
    List<SplitProgram> programs =
        SplitProgram.together(
            compute.scope(),
            compute.device(),
            plans.stream().map(GatherPlan::segments).toList(),
            compute.exchange());
    long bytes = plans.stream().mapToLong(GatherPlan::bytes).max().orElse(0);
    Buffer memory = compute.allocateShared("gathered parameters", bytes);
    List<GatheredProgram> made = new ArrayList<>();
    for (int i = 0; i < plans.size(); i++) {
      SplitProgram program = programs.get(i);
      made.add(new GatheredProgram(compute, plans.get(i), program, uses, state, memory));
    }
    return made;
  }

  /// Plans a program.
  static GatherPlan plan(
      Graph graph, List<ParameterUse> uses, StateShards shards, FlatLayout layout) {
    Map<String, Integer> unitOf = new HashMap<>();
    uses.forEach(use -> unitOf.put(use.inputName(), unit(shards, use.parameter())));
    List<Long> bytes = new ArrayList<>();
    for (int unit = 0; unit < shards.units().size(); unit++) {
      List<Long> borders = FlatRanges.borders(layout, shards, unit);
      bytes.add((borders.getLast() - borders.getFirst()) * DType.F32.bytes());
    }
    return GatherPlan.of(graph, unitOf, bytes);
  }

  private static int unit(StateShards shards, Parameter parameter) {
    for (int unit = 0; unit < shards.units().size(); unit++) {
      if (shards.units().get(unit).contains(parameter)) {
        return unit;
      }
    }
    throw new IllegalArgumentException("no unit has this parameter: parameter=" + parameter.name());
  }

  private static Exchange.Prepared prepare(
      RankCompute compute,
      StateShards shards,
      ModelState state,
      GatherPlan.Gather gather,
      Buffer memory) {
    List<Long> borders = FlatRanges.borders(state.layout(), shards, gather.unit());
    List<Long> counts = new ArrayList<>();
    for (int rank = 0; rank < shards.ranks(); rank++) {
      counts.add(borders.get(rank + 1) - borders.get(rank));
    }
    long elements = borders.getLast() - borders.getFirst();
    List<Tensor> part = new ArrayList<>();
    state
        .ranges(compute.grid().pipeline().rank())
        .parts(
            compute.rank(),
            borders.getFirst(),
            elements,
            (held, _, length) -> part.add(state.vector(held, length)));
    Tensor own = part.isEmpty() ? state.vector(0, 0) : part.getFirst();
    Tensor whole = new Tensor(memory, gather.offset(), DType.F32, Shape.of(elements));
    return compute
        .scope()
        .own(
            compute.exchange().allGather(Layout.DATA, counts, own, whole),
            Exchange.Prepared::close);
  }

  /// Where a phase finds the parameters that it reads.
  private Map<String, Tensor> gathered(
      int phase,
      List<ParameterUse> uses,
      Grid grid,
      StateShards shards,
      FlatLayout layout,
      Buffer memory) {
    Map<String, Tensor> found = new HashMap<>();
    for (GatherPlan.Gather gather : plan.gathers()) {
      if (gather.first() <= phase && phase <= gather.last()) {
        long start =
            FlatRanges.borders(layout, shards, gather.unit()).getFirst() * DType.F32.bytes();
        for (ParameterUse use : uses) {
          if (unit(shards, use.parameter()) == gather.unit()) {
            long offset = gather.offset() + layout.offset(use.parameter().name()) - start;
            Shape shape = grid.localShape(use.parameter());
            found.put(use.inputName(), new Tensor(memory, offset, DType.F32, shape));
          }
        }
      }
    }
    return found;
  }

  /// Returns when what is gathered.
  GatherPlan plan() {
    return plan;
  }

  @Override
  public List<Program> segments() {
    return program.segments();
  }

  @Override
  public Run bind(Map<String, Tensor> tensors) {
    SplitProgram.Bound bound = bound(tensors);
    return _ -> run(bound, _ -> {});
  }

  /// Fixes where inputs and outputs live, but for parameters.
  SplitProgram.Bound bound(Map<String, Tensor> tensors) {
    return program.bind(new LinkedHashMap<>(tensors), part -> parameters.get(plan.phaseOf(part)));
  }

  /// Gives this rank's shards to those that have a lane.
  void idle() {
    run(null, _ -> {});
  }

  /// Runs the program once.
  ///
  /// @param bound null if this rank has no lane
  void run(SplitProgram.@Nullable Bound bound, PhaseListener end) {
    start(0);
    for (int phase = 0; phase < gathers.length; phase++) {
      for (Exchange.Prepared gather : gathers[phase]) {
        gather.await();
      }
      if (phase + 1 < gathers.length) {
        start(phase + 1);
      }
      if (bound != null) {
        GatherPlan.Phase parts = plan.phases().get(phase);
        bound.run(stream, parts.first(), parts.end());
        exchange.settle(stream);
      }
      end.at(phase);
    }
  }

  private void start(int phase) {
    for (Exchange.Prepared gather : gathers[phase]) {
      gather.start();
    }
  }
}
