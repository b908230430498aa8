package dev.lockstep.device.neuron;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceCollectives;
import dev.lockstep.device.DeviceInfo;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceRanks;
import dev.lockstep.device.Numerics;
import dev.lockstep.device.Program;
import dev.lockstep.device.RankGrid;
import dev.lockstep.device.Stream;
import dev.lockstep.device.Support;
import dev.lockstep.device.neuron.compiler.Neff;
import dev.lockstep.device.neuron.compiler.NeffCompiler;
import dev.lockstep.device.neuron.compiler.Target;
import dev.lockstep.device.neuron.hlo.HloEmitter;
import dev.lockstep.device.neuron.hlo.HloModule;
import dev.lockstep.device.neuron.hlo.SumOrder;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Decomposition;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import java.util.List;
import java.util.Optional;

/// One core of a Trainium chip, which this process has to itself. Programs run one after another on
/// the core's thread. Opened among other ranks it keeps collectives inside its programs, else it
/// leaves them to the host.
final class NeuronDevice implements Device {
  private final DeviceInfo info;
  private final Numerics numerics;
  private final DeviceOptions options;
  private final MemoryPool memory;
  private final Target target;
  private final NeffCompiler compiler;
  private final NeuronRuntime runtime;
  private final Runnable closeRuntime;
  private final CoreThread core;
  private boolean closed;

  /// @param numerics what decides the bits beside the graph
  /// @param closeRuntime gives the core back, once
  NeuronDevice(
      DeviceInfo info,
      Numerics numerics,
      DeviceOptions options,
      Target target,
      NeffCompiler compiler,
      NeuronRuntime runtime,
      Runnable closeRuntime) {
    this.info = info;
    this.numerics = numerics;
    this.options = options;
    this.memory = options.memory();
    this.target = target;
    this.compiler = compiler;
    this.runtime = runtime;
    this.closeRuntime = closeRuntime;
    this.core = new CoreThread(info.name());
  }

  @Override
  public DeviceInfo info() {
    return info;
  }

  @Override
  public Numerics numerics() {
    return numerics;
  }

  NeuronRuntime runtime() {
    return runtime;
  }

  CoreThread core() {
    return core;
  }

  /// Returns a buffer as one of this device.
  ///
  /// @throws IllegalArgumentException if it is of another
  NeuronBuffer own(Buffer buffer) {
    if (buffer instanceof NeuronBuffer own && own.belongsTo(this)) {
      return own;
    }
    throw new IllegalArgumentException(
        "buffer is of another device: buffer=%s, device=%s".formatted(buffer.name(), info.name()));
  }

  /// Frees a tensor of the runtime.
  void free(long tensor) {
    core.call(() -> runtime.free(tensor));
  }

  @Override
  public Buffer allocate(String name, long bytes) {
    if (bytes < 0) {
      throw new IllegalArgumentException(
          "size of a buffer is out of range: name=" + name + ", bytes=" + bytes);
    }
    MemoryPool.Charge charge = memory.charge(name, bytes);
    long[] made = new long[2];
    try {
      core.call(
          () -> {
            made[0] = runtime.allocate(name, bytes);
            made[1] = made[0] == 0 ? 0 : runtime.nrt().tensorAddress(made[0]);
          });
    } catch (RuntimeException | Error failure) {
      charge.close();
      throw failure;
    }
    return new NeuronBuffer(this, name, bytes, made[0], made[1], charge);
  }

  /// Memory of the device: no peer can map it, so there is no other kind.
  @Override
  public Buffer allocateShared(String name, long bytes) {
    return allocate(name, bytes);
  }

  @Override
  public Support supports(Op op, List<ValueType> operands) {
    return switch (op) {
      case Composite composite ->
          new Support.No("composites are compiled from their primitives: op=" + composite.label());
      case Primitive primitive ->
          primitive.isCollective()
              ? collective(primitive, operands)
              : target.supports(primitive, operands);
    };
  }

  private Support collective(Primitive op, List<ValueType> operands) {
    if (options.ranks().isEmpty()) {
      return new Support.No("collectives are run by the host: op=" + op.label());
    }
    return switch (HloEmitter.supports(op, options.ranks().get().grid())) {
      case Support.Yes _ -> target.supports(op, operands);
      case Support.No no -> no;
    };
  }

  @Override
  public Program compile(Graph graph) {
    Graph primitives = Decomposition.expand(graph, (_, _) -> false);
    for (Node node : primitives.nodes()) {
      List<ValueType> types = node.inputs().stream().map(Value::type).toList();
      if (node.op() instanceof Primitive op
          && op.isCollective()
          && supports(op, types) instanceof Support.No(String reason)) {
        throw new IllegalArgumentException(reason + " (graph=" + graph.name() + ")");
      }
    }
    target.check(primitives);
    RankGrid grid = options.ranks().map(DeviceRanks::grid).orElse(RankGrid.ALONE);
    boolean sameBits = options.ranks().map(DeviceRanks::sameBits).orElse(true);
    SumOrder order = sameBits ? SumOrder.LANE_TREE : SumOrder.COMPILER;
    HloModule module = HloEmitter.emit(primitives, grid, order);
    long bytes = WorkingSet.bytes(primitives);
    MemoryPool.Charge charge = memory.charge("arena of program " + graph.name(), bytes);
    try {
      Optional<Neff> neff =
          module.results() == 0 ? Optional.empty() : Optional.of(compiler.compile(module));
      Program[] loaded = new Program[1];
      core.call(() -> loaded[0] = new NeuronProgram(this, graph, module, neff, bytes, charge));
      return loaded[0];
    } catch (RuntimeException | Error failure) {
      charge.close();
      throw failure;
    }
  }

  Optional<DeviceRanks> ranks() {
    return options.ranks();
  }

  @Override
  public Stream newStream() {
    return new NeuronStream(this);
  }

  @Override
  public Optional<DeviceCollectives> collectives() {
    return Optional.empty();
  }

  /// A program that takes longer than a collective may is given up, and with it the collective that
  /// it waits in. The runtime neither compares what ranks run nor lets anybody end it before.
  @Override
  public Optional<DeviceCollectives.Promises> promisesInPrograms() {
    return options.ranks().map(_ -> new DeviceCollectives.Promises(true, false, false, true));
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    if (core.isBusy()) {
      throw new IllegalStateException(
          "device is running a program: device=" + info.name() + " (wait for its streams first)");
    }
    closed = true;
    try {
      core.call(closeRuntime);
    } finally {
      core.close();
    }
  }
}
