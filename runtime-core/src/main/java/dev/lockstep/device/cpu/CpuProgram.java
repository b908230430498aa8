package dev.lockstep.device.cpu;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.PlannedStep;
import dev.lockstep.device.Program;
import dev.lockstep.device.Support;
import dev.lockstep.device.plan.Binding;
import dev.lockstep.device.plan.StoragePlan;
import dev.lockstep.graph.Cost;
import dev.lockstep.graph.Decomposition;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphPrinter;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/// A planned list of kernel calls over one arena: values that live at the same time side by side,
/// then scratch that a step's threads share, then scratch of each thread.
final class CpuProgram implements Program {
  private static final long ALIGNMENT = 64;
  private static final int IDLE = 0;
  private static final int RUNNING = 1;
  private static final int CLOSED = 2;

  private final Graph source;
  private final Graph graph;
  private final CpuDevice device;
  private final StoragePlan storage;
  private final List<Unit> units;
  private final Step[] steps;
  private final long[] nanos;
  private final long[] leastNanos;
  private final long sharedBytes;
  private final long workerBytes;
  private final SharedArena arena;
  private final AtomicInteger state = new AtomicInteger(IDLE);

  private CpuProgram(
      Graph source, Graph graph, List<Unit> units, CpuDevice device, SharedArena arena) {
    this.arena = arena;
    this.source = source;
    this.graph = graph;
    this.device = device;
    this.units = units;
    storage = StoragePlan.of(graph, units);
    List<Step> all = new ArrayList<>();
    for (StoragePlan.Save save : storage.saves()) {
      Value input = graph.inputs().get(save.input()).value();
      all.add(copy(input.id(), save.value(), input));
    }
    for (Unit unit : units) {
      all.add(Lowering.step(unit, device.kernels(), device.info().threads()));
    }
    for (StoragePlan.Copy copy : storage.copies()) {
      Value output = graph.outputs().get(copy.output()).value();
      all.add(copy(copy.value(), storage.valueCount() + copy.output(), output));
    }
    steps = all.toArray(Step[]::new);
    nanos = new long[steps.length];
    leastNanos = new long[steps.length];
    sharedBytes = aligned(all.stream().mapToLong(Step::sharedBytes).max().orElse(0));
    // Some lines apart, so that threads' scratch does not fall on the same sets of a cache.
    workerBytes =
        aligned(all.stream().mapToLong(Step::workerBytes).max().orElse(0)) + 5 * ALIGNMENT;
    arena.join(this, arenaOffset(device.info().threads()));
  }

  /// Compiles graphs into programs that share one arena.
  ///
  /// @throws IllegalArgumentException if an op is not supported, or two outputs take one input
  static List<CpuProgram> compile(List<Graph> sources, CpuDevice device) {
    return compile(sources, device, Fusion.Reach.ELEMENTS);
  }

  /// Compiles graphs with as much fused as `reach` says: the same bits.
  static List<CpuProgram> compile(List<Graph> sources, CpuDevice device, Fusion.Reach reach) {
    SharedArena arena = new SharedArena();
    List<CpuProgram> programs = new ArrayList<>();
    for (Graph source : sources) {
      programs.add(compile(source, device, arena, reach));
    }
    if (!sources.isEmpty()) {
      arena.allocate(device, "arena of program " + sources.getFirst().name());
    }
    return programs;
  }

  private static CpuProgram compile(
      Graph source, CpuDevice device, SharedArena arena, Fusion.Reach reach) {
    Graph graph =
        Decomposition.expand(source, (op, types) -> OpSupport.of(op, types) instanceof Support.Yes);
    for (Node node : graph.nodes()) {
      List<ValueType> types = node.inputs().stream().map(Value::type).toList();
      if (OpSupport.of(node.op(), types) instanceof Support.No(String reason)) {
        throw new IllegalArgumentException(reason + " (graph=" + source.name() + ")");
      }
    }
    return new CpuProgram(source, graph, Fusion.units(graph, reach), device, arena);
  }

  private static CopyStep copy(int from, int to, Value value) {
    return CopyStep.plain(from, to, value.type().dtype().bytes(), value.type().shape().elements());
  }

  private static long aligned(long bytes) {
    return (bytes + ALIGNMENT - 1) & -ALIGNMENT;
  }

  /// Where the scratch of thread `worker` begins.
  private long arenaOffset(int worker) {
    return storage.arenaBytes() + sharedBytes + worker * workerBytes;
  }

  @Override
  public Graph graph() {
    return source;
  }

  @Override
  public long arenaBytes() {
    return arena.bytesOf(this);
  }

  @Override
  public BoundProgram bind(Map<String, Tensor> tensors) {
    if (state.get() == CLOSED) {
      throw closed();
    }
    Binding binding = Binding.of(graph, tensors);
    long[] addresses = storage.addresses(binding, arena.address(), CpuProgram::address);
    Frame frame =
        new Frame(
            addresses,
            device.kernels(),
            device.team(),
            arena.address() + storage.arenaBytes(),
            arena.address() + arenaOffset(0),
            workerBytes);
    return new CpuBoundProgram(this, frame, binding.buffers().toArray(Buffer[]::new));
  }

  private static long address(Tensor tensor) {
    return tensor.segment().address();
  }

  /// Runs all steps; the caller holds leases on what is bound.
  void run(Frame frame) {
    int found = state.compareAndExchange(IDLE, RUNNING);
    if (found != IDLE) {
      throw found == CLOSED
          ? closed()
          : new IllegalStateException("program is running already: program=" + source.name());
    }
    try {
      long before = System.nanoTime();
      for (int i = 0; i < steps.length; i++) {
        steps[i].run(frame);
        long now = System.nanoTime();
        nanos[i] += now - before;
        if (now - before < leastNanos[i] || leastNanos[i] == 0) {
          leastNanos[i] = now - before;
        }
        before = now;
      }
    } finally {
      state.set(IDLE);
    }
  }

  /// Whether this device compiled the program.
  boolean belongsTo(CpuDevice other) {
    return device == other;
  }

  @Override
  public String explain() {
    Cost cost = Cost.of(graph);
    StringBuilder text =
        new StringBuilder(
            "program %s on %s: %d steps, %d FLOPs, arena %d bytes (values %d, shared scratch %d, %d x %d per thread)\n"
                .formatted(
                    graph.name(),
                    device.info().description(),
                    steps.length,
                    cost.flops(),
                    arenaBytes(),
                    storage.arenaBytes(),
                    sharedBytes,
                    device.info().threads(),
                    workerBytes));
    int first = storage.saves().size();
    for (int i = 0; i < units.size(); i++) {
      Unit unit = units.get(i);
      Cost part = unit.cost();
      text.append(
          "  %3d  %-60s %12d FLOPs %10d bytes  %s\n"
              .formatted(i, steps[first + i].label(), part.flops(), part.bytes(), places(unit)));
      for (Node node : unit.nodes()) {
        text.append("       ").append(GraphPrinter.line(node)).append('\n');
      }
    }
    for (StoragePlan.Copy copy : storage.copies()) {
      String name = graph.outputs().get(copy.output()).name();
      text.append("       Copy %").append(copy.value()).append(" to output ");
      text.append(name).append('\n');
    }
    return text.toString();
  }

  @Override
  public List<PlannedStep> steps() {
    List<PlannedStep> plan = new ArrayList<>();
    int first = storage.saves().size();
    for (int i = 0; i < steps.length; i++) {
      boolean copies = i < first || i >= first + units.size();
      Cost cost = copies ? Cost.ZERO : units.get(i - first).cost();
      long following = copies ? 0 : units.get(i - first).followingFlops();
      String label = steps[i].label();
      String kernel = label.split(" ", 2)[0];
      plan.add(new PlannedStep(kernel, label, cost, following, nanos[i], leastNanos[i]));
    }
    return plan;
  }

  private String places(Unit unit) {
    StringBuilder text = new StringBuilder();
    for (Value value : unit.writes()) {
      text.append(text.isEmpty() ? "-> " : ", ");
      switch (storage.place(value.id())) {
        case StoragePlan.Place.Input(int index) ->
            text.append("input ").append(graph.inputs().get(index).name());
        case StoragePlan.Place.Output(int index) ->
            text.append("output ").append(graph.outputs().get(index).name());
        case StoragePlan.Place.Arena(long offset) -> text.append("arena+").append(offset);
        case null -> text.append("nowhere");
      }
    }
    return text.toString();
  }

  private IllegalStateException closed() {
    return new IllegalStateException("program is closed: program=" + source.name());
  }

  @Override
  public void close() {
    int before = state.compareAndExchange(IDLE, CLOSED);
    if (before == IDLE) {
      arena.leave();
    } else if (before == RUNNING) {
      throw new IllegalStateException(
          "program is running: program=" + source.name() + " (wait for its stream first)");
    }
  }
}
