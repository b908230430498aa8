package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceCollective;
import dev.lockstep.device.DeviceCollectives;
import dev.lockstep.device.DeviceGroup;
import dev.lockstep.device.Support;
import dev.lockstep.device.cuda.ffi.Nccl;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.interrupt.Pause;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;

/// The collectives of a GPU, by NCCL. All of them run on one stream, in the order of their starts,
/// so that groups never wait for each other in a circle; events order it with the streams that
/// compute. The first failure ends all groups of the device.
final class CudaCollectives implements DeviceCollectives, AutoCloseable {
  private static final Support YES = new Support.Yes();
  private static final long PAUSE_NANOS = 50_000;

  /// The smallest piece of memory for what other ranks send.
  private static final long LEAST_SCRATCH_BYTES = 64 << 10;

  private final CudaDevice device;
  private final NcclLibrary library;
  private final CudaStream stream;
  private final NcclWatch watch;
  private final List<NcclGroup> groups = new CopyOnWriteArrayList<>();
  private final List<CudaBuffer> scratches = new ArrayList<>();
  private volatile @Nullable LockstepException failure;

  /// Opens the stream; the device's context is current.
  CudaCollectives(CudaDevice device, Nccl nccl) {
    this.device = device;
    this.library = new NcclLibrary(nccl, device.context().name());
    this.stream = device.newStream();
    this.watch = new NcclWatch(this);
  }

  @Override
  public String kind() {
    return library.words();
  }

  @Override
  public String place() {
    return library.sharesGpus() ? "" : device.context().place();
  }

  @Override
  public Promises promises() {
    return new Promises(true, false, true, true);
  }

  @Override
  public Support supports(DeviceCollective collective) {
    return switch (collective) {
      case DeviceCollective.AllGather _ -> YES;
      case DeviceCollective.AllReduce(DType dtype, ReduceOp op, LaneSplit lanes, long _) ->
          supports(dtype, op, lanes);
      case DeviceCollective.ReduceScatter(DType dtype, ReduceOp op, LaneSplit lanes, var _) ->
          supports(dtype, op, lanes);
    };
  }

  private static Support supports(DType dtype, ReduceOp op, LaneSplit lanes) {
    boolean joins =
        op instanceof ReduceOp.Sum || op instanceof ReduceOp.Max || op instanceof ReduceOp.Min;
    if (dtype != DType.F32 || !joins) {
      return new Support.No(
          "the CUDA device joins sums, maxima and minima of F32: dtype=%s, op=%s"
              .formatted(dtype, op.label()));
    }
    return LaneLeaf.fit(lanes)
        ? YES
        : new Support.No(
            "the CUDA device joins so many subtrees of so many lanes at most: subtrees=%d, most=%d, lanes=%d, most=%d"
                .formatted(
                    LaneLeaf.count(lanes), LaneLeaf.MOST, lanes.lanes(), LaneLeaf.MOST_LANES));
  }

  @Override
  public String newGroup() {
    requireSound();
    device.context().enter();
    return library.newId();
  }

  @Override
  public DeviceGroup join(Membership membership) {
    requireSound();
    device.context().enter();
    NcclGroup group = new NcclGroup(this, membership);
    groups.add(group);
    try {
      group.join();
      return group;
    } catch (RuntimeException | Error refused) {
      Scope.afterFailure(refused, group::close);
      throw refused;
    }
  }

  CudaDevice device() {
    return device;
  }

  NcclLibrary library() {
    return library;
  }

  CudaStream stream() {
    return stream;
  }

  NcclWatch watch() {
    return watch;
  }

  List<NcclGroup> groups() {
    return groups;
  }

  void forget(NcclGroup group) {
    groups.remove(group);
  }

  /// Returns device memory of at least so many bytes, which all collectives of the device share:
  /// they run one after another. Owned by this.
  CudaBuffer scratch(long bytes) {
    for (CudaBuffer scratch : scratches) {
      if (scratch.bytes() >= bytes) {
        return scratch;
      }
    }
    long most = Long.highestOneBit(Math.max(bytes, LEAST_SCRATCH_BYTES) - 1) << 1;
    CudaBuffer made = device.memory().allocate("scratch of collectives", most);
    scratches.add(made);
    return made;
  }

  /// Whether a failure has ended the device's collectives.
  boolean hasFailed() {
    return failure != null;
  }

  /// Throws what ended the device's collectives, if something did.
  void requireSound() {
    LockstepException before = failure;
    if (before != null) {
      before.fillInStackTrace(); // here is who waits for it
      throw before;
    }
  }

  /// Ends all groups, unless they have ended before; returns the first failure.
  LockstepException fail(LockstepException what) {
    synchronized (this) {
      if (failure == null) {
        failure = what;
      }
    }
    groups.forEach(NcclGroup::abort);
    LockstepException first = failure;
    return first == null ? what : first;
  }

  /// Ends all groups by what came between while a collective was started.
  void fail(Throwable unforeseen, String op) {
    String name = device.context().name();
    fail(
        new DeviceException(
            name,
            "start of a collective",
            0,
            "a collective could not be started: op=%s, device=%s, cause=%s"
                .formatted(op, name, unforeseen),
            unforeseen));
  }

  /// Waits until nothing is under way any more, after a failure that has ended all groups.
  void awaitEnd() {
    try {
      stream.finish();
    } catch (DeviceException lost) {
      fail(lost);
    }
  }

  /// Waits until the GPU has passed a ticket of the stream, or cannot any more.
  void awaitPassed(long ticket) {
    try (Pause pause = new Pause()) {
      while (!stream.hasPassed(ticket)) {
        pause.park(PAUSE_NANOS);
      }
    } catch (DeviceException lost) {
      fail(lost);
    }
  }

  /// Ends the watch and frees stream and memory; groups are closed before.
  @Override
  public void close() {
    try {
      groups.forEach(NcclGroup::close);
    } finally {
      watch.close();
      try {
        stream.close();
      } finally {
        scratches.forEach(CudaBuffer::close);
      }
    }
  }
}
