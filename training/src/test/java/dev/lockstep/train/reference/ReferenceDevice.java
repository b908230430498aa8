package dev.lockstep.train.reference;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceCollectives;
import dev.lockstep.device.DeviceInfo;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.Event;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.device.Support;
import dev.lockstep.failure.Availability;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.ReferenceInterpreter;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// A device that interprets graphs in binary64 and keeps F32 between programs: slow, and right.
final class ReferenceDevice implements Device {
  private final MemoryPool memory;

  private ReferenceDevice(MemoryPool memory) {
    this.memory = memory;
  }

  /// Makes the device known as `reference`.
  public static final class Provider implements DeviceProvider {
    @Override
    public String name() {
      return "reference";
    }

    @Override
    public Availability probe() {
      return new Availability.Available(1, "binary64 interpreter");
    }

    @Override
    public Device open(int ordinal, DeviceOptions options) {
      return new ReferenceDevice(options.memory());
    }
  }

  @Override
  public DeviceInfo info() {
    return new DeviceInfo("reference:0", "binary64 interpreter", 1, 64, true);
  }

  @Override
  public Buffer allocate(String name, long bytes) {
    return HostMemory.allocate(memory, name, bytes);
  }

  @Override
  public Buffer allocateShared(String name, long bytes) {
    return HostMemory.allocateShared(memory, name, bytes, null);
  }

  @Override
  public Support supports(Op op, List<ValueType> operands) {
    return new Support.Yes();
  }

  @Override
  public Program compile(Graph graph) {
    return new Interpreted(graph);
  }

  @Override
  public Stream newStream() {
    return new Immediate();
  }

  @Override
  public Optional<DeviceCollectives> collectives() {
    return Optional.empty();
  }

  @Override
  public void close() {}

  private record Interpreted(Graph graph) implements Program {
    @Override
    public long arenaBytes() {
      return 0;
    }

    @Override
    public BoundProgram bind(Map<String, Tensor> tensors) {
      return new Bound(this, Map.copyOf(tensors));
    }

    @Override
    public String explain() {
      return graph.toString();
    }

    @Override
    public void close() {}
  }

  private record Bound(Interpreted program, Map<String, Tensor> tensors) implements BoundProgram {
    void run() {
      Graph graph = program.graph;
      Map<String, double[]> inputs = new HashMap<>();
      for (Graph.Named input : graph.inputs()) {
        inputs.put(input.name(), read(tensor(input.name())));
      }
      List<double[]> results = ReferenceInterpreter.run(graph, inputs);
      for (int i = 0; i < results.size(); i++) {
        String name = graph.outputs().get(i).name();
        write(tensor(graph.aliases().getOrDefault(name, name)), results.get(i));
      }
    }

    private Tensor tensor(String name) {
      Tensor tensor = tensors.get(name);
      if (tensor == null) {
        throw new IllegalArgumentException("nothing is bound: " + name);
      }
      return tensor;
    }

    private static double[] read(Tensor tensor) {
      double[] elements = new double[(int) tensor.shape().elements()];
      MemorySegment memory = tensor.segment();
      for (int i = 0; i < elements.length; i++) {
        elements[i] =
            tensor.dtype() == DType.I32
                ? memory.getAtIndex(ValueLayout.JAVA_INT, i)
                : memory.getAtIndex(ValueLayout.JAVA_FLOAT, i);
      }
      return elements;
    }

    private static void write(Tensor tensor, double[] elements) {
      MemorySegment memory = tensor.segment();
      for (int i = 0; i < elements.length; i++) {
        memory.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) elements[i]);
      }
    }
  }

  private static final class Immediate implements Stream {
    @Override
    public void run(BoundProgram program) {
      switch (program) {
        case Bound bound -> bound.run();
        default -> throw new IllegalArgumentException("not of this device: " + program);
      }
    }

    @Override
    public void copyIn(Tensor to, MemorySegment from) {
      to.segment().copyFrom(from);
    }

    @Override
    public void copyOut(MemorySegment to, Tensor from) {
      to.copyFrom(from.segment());
    }

    @Override
    public Event record() {
      throw new UnsupportedOperationException("everything is done at once");
    }

    @Override
    public void synchronize() {}

    @Override
    public void close() {}
  }
}
