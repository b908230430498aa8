package dev.lockstep.device.cuda.ffi;

import java.lang.foreign.MemorySegment;

/// Host memory that a library allocated, as segments.
public final class HostSegments {
  private HostSegments() {}

  /// Returns the memory at an address. Whoever allocated it sees to it that nothing uses the
  /// segment once it is freed.
  public static MemorySegment at(long address, long bytes) {
    return NativeCalls.memory(address, bytes);
  }
}
