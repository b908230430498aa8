package dev.lockstep.device.cuda;

import dev.lockstep.device.HostCopy;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/// A copy between a tensor and pinned host memory, straight and by a stream's queue of copies. The
/// host waits for it when it wants to.
final class PinnedCopy implements HostCopy {
  private static final long NEVER = -1;

  private final CudaStream stream;
  private final Staging way;
  private final Tensor tensor;
  private final MemorySegment host;
  private long ticket = NEVER;

  /// Copies nothing yet.
  ///
  /// @param way the stream's queue of copies in one direction
  PinnedCopy(CudaStream stream, Staging way, Tensor tensor, MemorySegment host) {
    this.stream = stream;
    this.way = way;
    this.tensor = tensor;
    this.host = host;
  }

  @Override
  public void start() {
    ticket = stream.copy(way, tensor, host);
  }

  @Override
  public boolean isDone() {
    return ticket == NEVER || stream.isOver(ticket);
  }

  @Override
  public void await() {
    if (ticket != NEVER) {
      stream.awaitOver(ticket);
    }
  }

  @Override
  public void close() {
    if (ticket != NEVER) {
      stream.settle(ticket, way);
      ticket = NEVER;
    }
  }
}
