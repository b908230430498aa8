package dev.lockstep.device.neuron;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.DeviceRanks;
import dev.lockstep.device.Program;
import dev.lockstep.device.neuron.compiler.Neff;
import dev.lockstep.device.neuron.hlo.HloModule;
import dev.lockstep.device.plan.Binding;
import dev.lockstep.graph.Cost;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphPrinter;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// A graph that the core has loaded as a NEFF.
final class NeuronProgram implements Program {
  private final NeuronDevice device;
  private final Graph graph;
  private final HloModule module;
  private final int neffBytes;
  private final MemoryPool.Charge charge;
  private final long arenaBytes;
  private final Arena arena;
  private final long model;
  private final Map<String, String> inputNames = new HashMap<>();
  private final long ids;

  /// What bindings hold; touched by the core's thread alone.
  private final List<Long> sets = new ArrayList<>();

  private final List<Long> slices = new ArrayList<>();

  private int running;
  private boolean closed;

  /// Loads a program; called by the core's thread.
  ///
  /// @param neff empty for a module without results, which is never compiled
  /// @param charge given back when the program closes
  @SuppressWarnings("MustBeClosedChecker") // closed with the program
  NeuronProgram(
      NeuronDevice device,
      Graph graph,
      HloModule module,
      Optional<Neff> neff,
      long arenaBytes,
      MemoryPool.Charge charge) {
    this.device = device;
    this.graph = graph;
    this.module = module;
    this.arenaBytes = arenaBytes;
    this.charge = charge;
    this.neffBytes = neff.map(each -> each.bytes().length).orElse(0);
    this.arena = Arena.ofShared();
    long loaded = 0;
    long checked = 0;
    try {
      if (neff.isPresent()) {
        loaded = load(neff.get());
        names(loaded);
        checked = newIds();
      }
    } catch (RuntimeException | Error failure) {
      long opened = loaded;
      Scope.afterFailure(failure, () -> device.runtime().unload(opened, graph.name()));
      arena.close();
      throw failure;
    }
    this.model = loaded;
    this.ids = checked;
  }

  private long load(Neff neff) {
    NeuronRuntime runtime = device.runtime();
    try (Arena scratch = Arena.ofConfined()) {
      MemorySegment bytes = scratch.allocate(neff.bytes().length, JAVA_LONG.byteSize());
      bytes.copyFrom(MemorySegment.ofArray(neff.bytes()));
      MemorySegment handle = scratch.allocate(JAVA_LONG);
      String what =
          "program=%s, neffBytes=%d, neffVersion=%d.%d, logicalCoreSize=%d"
              .formatted(
                  graph.name(),
                  neff.bytes().length,
                  neff.major(),
                  neff.minor(),
                  neff.logicalCoreSize());
      Optional<DeviceRanks> ranks = device.ranks().filter(_ -> module.hasCollectives());
      if (ranks.isPresent()) {
        int rank = ranks.get().rank();
        int all = ranks.get().grid().ranks();
        runtime.check(
            runtime.nrt().loadCollectives(bytes, runtime.core(), rank, all, handle),
            "nrt_load_collectives",
            "%s, rank=%d, ranks=%d, root=%s".formatted(what, rank, all, ranks.get().root()));
      } else {
        runtime.check(runtime.nrt().load(bytes, runtime.core(), handle), "nrt_load", what);
      }
      return handle.get(JAVA_LONG, 0);
    }
  }

  private void names(long loaded) {
    ModelPorts ports = ModelPorts.of(device.runtime(), loaded, graph.name());
    for (HloModule.Port input : module.inputs()) {
      ports.input(input).ifPresent(name -> inputNames.put(input.name(), name));
    }
    for (HloModule.Port output : module.outputs()) {
      ports.requireOutput(output.name(), output.type().bytes());
    }
    if (!module.tables().isEmpty()) {
      ports.requireOutput(HloModule.IDS, idsBytes());
    }
  }

  private long idsBytes() {
    return 2 * JAVA_INT.byteSize() * module.tables().size();
  }

  private long newIds() {
    return module.tables().isEmpty()
        ? 0
        : device.runtime().allocate(graph.name() + " ids", idsBytes());
  }

  NeuronDevice device() {
    return device;
  }

  HloModule module() {
    return module;
  }

  long model() {
    return model;
  }

  boolean belongsTo(NeuronDevice other) {
    return device == other;
  }

  @Override
  public Graph graph() {
    return graph;
  }

  @Override
  public long arenaBytes() {
    return arenaBytes;
  }

  @Override
  public BoundProgram bind(Map<String, Tensor> tensors) {
    Binding binding = Binding.of(graph, tensors);
    binding.buffers().forEach(device::own);
    synchronized (this) {
      requireOpen();
    }
    NeuronBoundProgram[] bound = new NeuronBoundProgram[1];
    device.core().call(() -> bound[0] = bind(binding));
    return bound[0];
  }

  /// Makes the sets of tensors; called by the core's thread.
  private NeuronBoundProgram bind(Binding binding) {
    NeuronRuntime runtime = device.runtime();
    Map<String, Tensor> inputs = new HashMap<>();
    Map<String, Tensor> outputs = new HashMap<>();
    for (int i = 0; i < graph.inputs().size(); i++) {
      inputs.put(graph.inputs().get(i).name(), binding.inputs().get(i));
    }
    for (int i = 0; i < graph.outputs().size(); i++) {
      outputs.put(graph.outputs().get(i).name(), binding.outputs().get(i));
    }
    long in = newSet(runtime);
    for (HloModule.Port port : module.inputs()) {
      String name = inputNames.get(port.name());
      if (name != null) {
        runtime.add(in, name, handle(runtime, inputs, port));
      }
    }
    long out = newSet(runtime);
    for (HloModule.Port port : module.outputs()) {
      runtime.add(out, port.name(), handle(runtime, outputs, port));
    }
    if (ids != 0) {
      runtime.add(out, HloModule.IDS, ids);
    }
    return new NeuronBoundProgram(this, binding.buffers(), in, out, ids, arena);
  }

  private long newSet(NeuronRuntime runtime) {
    long set = runtime.newSet();
    sets.add(set);
    return set;
  }

  /// The tensor of a port: the buffer's own where it is all of it, else a slice.
  private long handle(NeuronRuntime runtime, Map<String, Tensor> tensors, HloModule.Port port) {
    Tensor tensor = tensors.get(port.graphName());
    if (tensor == null) {
      throw new IllegalStateException("nothing is bound: name=" + port.graphName());
    }
    NeuronBuffer buffer = device.own(tensor.buffer());
    if (tensor.offset() == 0 && tensor.bytes() == buffer.bytes()) {
      return buffer.tensor();
    }
    long slice = runtime.slice(buffer.tensor(), port.name(), tensor.offset(), tensor.bytes());
    slices.add(slice);
    return slice;
  }

  /// A run begins to be queued.
  ///
  /// @throws IllegalStateException if the program is closed
  synchronized void enter() {
    requireOpen();
    running++;
  }

  /// A run has ended.
  synchronized void leave() {
    running--;
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("program is closed: program=" + graph.name());
    }
  }

  @Override
  public String explain() {
    Cost cost = Cost.of(graph);
    StringBuilder text =
        new StringBuilder(
            "program %s on %s: HLO %d bytes, NEFF %d bytes, %d FLOPs, own values at most %d bytes\n"
                .formatted(
                    graph.name(),
                    device.info().description(),
                    module.proto().length,
                    neffBytes,
                    cost.flops(),
                    arenaBytes));
    graph.nodes().forEach(node -> text.append("  ").append(GraphPrinter.line(node)).append('\n'));
    return text.toString();
  }

  @Override
  public void close() {
    synchronized (this) {
      if (closed) {
        return;
      }
      if (running > 0) {
        throw new IllegalStateException(
            "program is running: program=" + graph.name() + " (wait for its stream first)");
      }
      closed = true;
    }
    try {
      device.core().call(this::unload);
    } finally {
      charge.close();
      arena.close();
    }
  }

  private void unload() {
    NeuronRuntime runtime = device.runtime();
    sets.forEach(runtime::destroySet);
    slices.forEach(runtime::free);
    runtime.free(ids);
    runtime.unload(model, graph.name());
  }
}
