package dev.lockstep.device;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;

/// A place where graphs run. Thread-safe but for what its streams say.
public interface Device extends AutoCloseable {
  /// Returns what this device is.
  DeviceInfo info();

  /// Returns what decides the bits of results on this device. A device that says nothing keeps no
  /// order of sums, and has the bits of all devices of its name.
  default Numerics numerics() {
    String name = info().name();
    int colon = name.indexOf(':');
    return new Numerics(colon < 0 ? name : name.substring(0, colon), false);
  }

  /// Allocates zeroed memory, aligned to 64 bytes; the caller closes it.
  ///
  /// @param name for errors and leak reports
  /// @throws dev.lockstep.failure.MemoryBudgetException if the budget does not allow it; nothing
  ///   was allocated
  Buffer allocate(String name, long bytes);

  /// Allocates zeroed memory that a peer process on this host can map, so that collectives read it
  /// in place; plain memory on a device that was opened [DeviceOptions#alone].
  Buffer allocateShared(String name, long bytes);

  /// Pins host memory, so that [Stream#prepareCopyIn] and [Stream#prepareCopyOut] between it and
  /// tensors go straight and pass what they need not wait for. Where that is of no use, or the
  /// system refuses, which the device says once, copies are as without. The caller closes what is
  /// returned before it frees the memory.
  ///
  /// @param host native memory, none of it pinned already
  /// @throws dev.lockstep.failure.DeviceLostException if the device is lost
  default HostPin pin(MemorySegment host) {
    return () -> {};
  }

  /// Returns whether `op` on operands of these types runs here.
  Support supports(Op op, List<ValueType> operands);

  /// Compiles a graph; composites without a kernel of their own are decomposed. The caller closes
  /// the program.
  ///
  /// @throws IllegalArgumentException if a primitive is not supported or the graph holds
  ///   collectives that this device leaves to the host
  Program compile(Graph graph);

  /// Compiles graphs that run one after another, never at the same time: they may share one working
  /// memory, which is freed when the last of the programs is closed.
  ///
  /// @return the programs in the graphs' order; the caller closes them
  /// @throws IllegalArgumentException if an op is not supported
  default List<Program> compileTogether(List<Graph> graphs) {
    return graphs.stream().map(this::compile).toList();
  }

  /// Opens a queue of work.
  Stream newStream();

  /// Returns the device's own collectives, if it has any (NCCL).
  Optional<DeviceCollectives> collectives();

  /// Returns which promises hold for the collectives that programs keep inside
  /// ([DeviceProvider#keepsCollectives]); empty where programs keep none.
  default Optional<DeviceCollectives.Promises> promisesInPrograms() {
    return Optional.empty();
  }

  /// Stops the device's threads and frees its own memory; idempotent.
  ///
  /// @throws IllegalStateException if a program is running
  @Override
  void close();
}
