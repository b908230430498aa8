package dev.lockstep.device.cpu;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceCollectives;
import dev.lockstep.device.DeviceInfo;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.Numerics;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.device.Support;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/// The processor as a device: kernels of one vector width and a team of threads of its own.
/// Programs run one after another, whatever stream they come from.
final class CpuDevice implements Device {
  private final DeviceInfo info;
  private final MemoryPool memory;
  private final boolean alone;
  private final @Nullable Path directory;
  private final KernelSet kernels;
  private final ThreadTeam team;
  private final ReentrantLock running = new ReentrantLock();
  private boolean closed;

  CpuDevice(DeviceInfo info, DeviceOptions options, KernelSet kernels) {
    this.info = info;
    this.memory = options.memory();
    this.alone = options.alone();
    this.directory = options.directory().orElse(null);
    this.kernels = kernels;
    this.team = new ThreadTeam(info.name().replace(':', '-'), options.threads());
  }

  @Override
  public DeviceInfo info() {
    return info;
  }

  @Override
  public Numerics numerics() {
    return new Numerics("cpu", true);
  }

  KernelSet kernels() {
    return kernels;
  }

  ThreadTeam team() {
    return team;
  }

  @Override
  public Buffer allocate(String name, long bytes) {
    return HostMemory.allocate(memory, name, bytes);
  }

  @Override
  public Buffer allocateShared(String name, long bytes) {
    return alone
        ? allocate(name, bytes)
        : HostMemory.allocateShared(memory, name, bytes, directory);
  }

  @Override
  public Support supports(Op op, List<ValueType> operands) {
    return OpSupport.of(op, operands);
  }

  @Override
  public Program compile(Graph graph) {
    return CpuProgram.compile(List.of(graph), this).getFirst();
  }

  @Override
  public List<Program> compileTogether(List<Graph> graphs) {
    return List.copyOf(CpuProgram.compile(graphs, this));
  }

  @Override
  public Stream newStream() {
    return new CpuStream(this);
  }

  @Override
  public Optional<DeviceCollectives> collectives() {
    return Optional.empty();
  }

  /// Runs a bound program on the calling thread and the team.
  void run(CpuBoundProgram program) {
    running.lock();
    try {
      if (closed) {
        throw new IllegalStateException("device is closed: device=" + info.name());
      }
      program.run();
    } finally {
      running.unlock();
    }
  }

  @Override
  public void close() {
    if (!running.tryLock()) {
      throw new IllegalStateException(
          "device is running a program: device=" + info.name() + " (wait for its streams first)");
    }
    try {
      closed = true;
      team.close();
    } finally {
      running.unlock();
    }
  }
}
