package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.CudaDriver;
import dev.lockstep.device.cuda.ffi.LaunchConfig;
import dev.lockstep.graph.ReduceOp;
import java.lang.foreign.Arena;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;
import java.util.List;

/// Launches of `join_lanes.cu`. They go before what the GPU computes meanwhile, lanes' programs
/// above all: the other ranks wait for what is joined here, and a kernel whose blocks stand behind
/// those of a large product would hold them up. NCCL's own kernels keep their stream's priority,
/// since one that comes early only takes multiprocessors away until its peers come too.
final class LaneJoin {
  private static final int THREADS = 256;
  private static final int BLOCKS_PER_MULTIPROCESSOR = 8;
  private static final int FLOATS_PER_ACCESS = 4;
  private static final int ALIGNMENT = FLOATS_PER_ACCESS * Float.BYTES;
  private static final Kernels.Source SOURCE = Kernels.Source.of("join_lanes.cu");

  /// `struct Subtrees`.
  private static final StructLayout SUBTREES =
      MemoryLayout.structLayout(
          MemoryLayout.sequenceLayout(LaneLeaf.MOST, ValueLayout.JAVA_LONG).withName("at"),
          MemoryLayout.sequenceLayout(LaneLeaf.MOST, ValueLayout.JAVA_BYTE).withName("level"));

  private static final long LEVELS = SUBTREES.byteOffset(PathElement.groupElement("level"));

  private final long function;
  private final Queue queue;
  private final long mostBlocks;
  private final Arena arena;

  /// Where kernels are launched.
  ///
  /// @param stream the driver's handle
  /// @param priority of what is launched
  record Queue(long stream, int priority) {}

  /// Makes launches of a kernel.
  ///
  /// @param function the driver's handle
  /// @param arena holds the launches' parameters
  LaneJoin(long function, Queue queue, int multiprocessors, Arena arena) {
    this.function = function;
    this.queue = queue;
    this.mostBlocks = (long) BLOCKS_PER_MULTIPROCESSOR * multiprocessors;
    this.arena = arena;
  }

  /// Finds the kernel of a device; the context is current.
  ///
  /// @param stream the driver's handle of the stream that it will run on
  static LaneJoin of(CudaDevice device, ReduceOp op, long stream, Arena arena) {
    String kernel = "join_lanes_" + op.label() + "_f32";
    return new LaneJoin(
        device.kernels().function(SOURCE, kernel, 0),
        new Queue(stream, device.context().greatestPriority()),
        device.context().multiprocessors(),
        arena);
  }

  /// A subtree's sums.
  ///
  /// @param address device address of its first float
  /// @param level as a [LaneLeaf] has it
  record Subtree(long address, int level) {}

  /// Returns the launch that joins subtrees.
  ///
  /// @param subtrees ascending
  /// @param out where the result goes; may be one of them
  /// @param elements of each
  NcclStep.Launch launch(List<Subtree> subtrees, long out, long elements) {
    MemorySegment table = arena.allocate(SUBTREES);
    boolean isAligned = out % ALIGNMENT == 0;
    for (int i = 0; i < subtrees.size(); i++) {
      Subtree subtree = subtrees.get(i);
      table.setAtIndex(ValueLayout.JAVA_LONG, i, subtree.address);
      table.set(ValueLayout.JAVA_BYTE, LEVELS + i, (byte) subtree.level);
      isAligned &= subtree.address % ALIGNMENT == 0;
    }
    MemorySegment parameters =
        arena.allocateFrom(
            ValueLayout.JAVA_LONG,
            table.address(),
            arena.allocateFrom(ValueLayout.JAVA_INT, subtrees.size()).address(),
            arena.allocateFrom(ValueLayout.JAVA_LONG, out).address(),
            arena.allocateFrom(ValueLayout.JAVA_LONG, elements).address(),
            arena.allocateFrom(ValueLayout.JAVA_INT, isAligned ? 1 : 0).address());
    long perBlock = (long) THREADS * (isAligned ? FLOATS_PER_ACCESS : 1);
    int blocks = (int) Math.clamp((elements + perBlock - 1) / perBlock, 1, mostBlocks);
    CudaDriver.Geometry geometry = new CudaDriver.Geometry(blocks, 1, 1, THREADS, 1, 1, 0);
    return new NcclStep.Launch(
        function, LaunchConfig.of(geometry, queue.stream, queue.priority, arena), parameters);
  }
}
