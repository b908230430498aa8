package dev.lockstep.train;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceCollectives;
import dev.lockstep.device.DeviceInfo;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.Event;
import dev.lockstep.device.HostCopy;
import dev.lockstep.device.HostPin;
import dev.lockstep.device.Numerics;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.device.Support;
import dev.lockstep.failure.Availability;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Backing;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.LeasedBuffer;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The CPU device as if it lay behind a bus: the host cannot address its memory, and gets at it by
/// copies alone, those of collectives late.
final class FarDevice implements Device {
  private final Device near;
  private final String kind;
  private final boolean isExact;
  private final FarCopies copies = new FarCopies();

  private FarDevice(Device near, String kind, boolean isExact) {
    this.near = near;
    this.kind = kind;
    this.isExact = isExact;
  }

  /// Makes the device known as `far`.
  public static class Provider implements DeviceProvider {
    @Override
    public String name() {
      return "far";
    }

    /// Returns whether the device says that it keeps the order of sums.
    boolean isExact() {
      return true;
    }

    @Override
    public Availability probe() {
      return new Availability.Available(1, "the CPU behind a bus");
    }

    @Override
    public Device open(int ordinal, DeviceOptions options) {
      DeviceProvider cpu =
          DeviceProvider.installed().stream()
              .filter(provider -> provider.name().equals("cpu"))
              .findFirst()
              .orElseThrow();
      return new FarDevice(cpu.open(ordinal, options), name(), isExact());
    }
  }

  /// Makes the device known as `loose`, which promises no order of sums.
  public static final class Loose extends Provider {
    @Override
    public String name() {
      return "loose";
    }

    @Override
    boolean isExact() {
      return false;
    }
  }

  /// Makes the device known as `broken`, to which nothing can be copied.
  public static final class Broken extends Provider {
    @Override
    public String name() {
      return "broken";
    }
  }

  /// Memory of which the host sees nothing.
  private static final class FarBuffer extends LeasedBuffer {
    private final Buffer near;

    FarBuffer(Buffer near) {
      super(near.name(), near.bytes());
      this.near = near;
    }

    @Override
    protected void free() {
      near.close();
    }

    @Override
    public Backing backing() {
      return new Backing.DeviceMemory("far:0", 0);
    }

    @Override
    public MemorySegment segment() {
      throw new IllegalStateException("memory is not addressable by the host: name=" + name());
    }
  }

  private static Tensor near(Tensor tensor) {
    if (tensor.buffer() instanceof FarBuffer buffer) {
      return new Tensor(buffer.near, tensor.offset(), tensor.dtype(), tensor.shape());
    }
    throw new IllegalArgumentException("tensor is near: buffer=" + tensor.buffer().name());
  }

  private record FarProgram(Program near) implements Program {
    @Override
    public Graph graph() {
      return near.graph();
    }

    @Override
    public long arenaBytes() {
      return near.arenaBytes();
    }

    @Override
    public BoundProgram bind(Map<String, Tensor> tensors) {
      Map<String, Tensor> bound = new HashMap<>();
      tensors.forEach((name, tensor) -> bound.put(name, FarDevice.near(tensor)));
      return near.bind(bound);
    }

    @Override
    public String explain() {
      return near.explain();
    }

    @Override
    public void close() {
      near.close();
    }
  }

  private record FarStream(Stream near, boolean isBroken) implements Stream {
    @Override
    public void run(BoundProgram program) {
      near.run(program);
    }

    @Override
    public void copyIn(Tensor to, MemorySegment from) {
      if (isBroken) {
        throw new IllegalStateException("nothing can be copied");
      }
      near.copyIn(FarDevice.near(to), from);
    }

    @Override
    public void copyOut(MemorySegment to, Tensor from) {
      near.copyOut(to, FarDevice.near(from));
    }

    @Override
    public HostCopy prepareCopyIn(Tensor to, MemorySegment from) {
      return FarCopies.in(near, FarDevice.near(to), from);
    }

    @Override
    public HostCopy prepareCopyOut(MemorySegment to, Tensor from) {
      return FarCopies.out(near, to, FarDevice.near(from));
    }

    @Override
    public Event record() {
      return near.record();
    }

    @Override
    public void synchronize() {
      near.synchronize();
    }

    @Override
    public void close() {
      near.close();
    }
  }

  @Override
  public DeviceInfo info() {
    DeviceInfo info = near.info();
    return new DeviceInfo("far:0", info.description(), info.threads(), info.vectorBits(), false);
  }

  @Override
  public Numerics numerics() {
    return new Numerics(kind, isExact);
  }

  @Override
  public Buffer allocate(String name, long bytes) {
    return new FarBuffer(near.allocate(name, bytes));
  }

  @Override
  public Buffer allocateShared(String name, long bytes) {
    return allocate(name, bytes);
  }

  @Override
  public HostPin pin(MemorySegment host) {
    return copies.pin(host);
  }

  @Override
  public Support supports(Op op, List<ValueType> operands) {
    return near.supports(op, operands);
  }

  @Override
  public Program compile(Graph graph) {
    return new FarProgram(near.compile(graph));
  }

  @Override
  public List<Program> compileTogether(List<Graph> graphs) {
    return near.compileTogether(graphs).stream().<Program>map(FarProgram::new).toList();
  }

  @Override
  public Stream newStream() {
    return new FarStream(near.newStream(), kind.equals("broken"));
  }

  @Override
  public Optional<DeviceCollectives> collectives() {
    return Optional.empty();
  }

  @Override
  public void close() {
    near.close();
    copies.requireNone();
  }
}
