package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.HostSegments;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// Host memory that the GPU reads and writes at the host's own address, and that is never paged
/// out; zeroed. Owned by whoever made it.
final class PinnedMemory implements AutoCloseable {
  private final CudaContext context;
  private final MemorySegment segment;
  private boolean closed;

  /// Allocates; the context is current.
  PinnedMemory(CudaContext context, long bytes) {
    this.context = context;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
      context.check(
          context.driver().memHostAlloc(word.address(), bytes, Cu.HOST_PORTABLE_MAPPED),
          "cuMemHostAlloc",
          "bytes=" + bytes);
      segment = HostSegments.at(word.get(ValueLayout.JAVA_LONG, 0), bytes);
    }
    segment.fill((byte) 0);
  }

  /// Returns the memory, borrowed until [#close].
  MemorySegment segment() {
    return segment;
  }

  /// Frees the memory; idempotent. The context is current and nothing uses the memory any more.
  @Override
  public void close() {
    if (!closed) {
      closed = true;
      int status = context.driver().memFreeHost(segment.address());
      if (!context.isLost()) {
        context.check(status, "cuMemFreeHost", "");
      }
    }
  }
}
