package dev.lockstep.memory;

import java.lang.foreign.MemorySegment;

/// A range of a [Region] that a transport or a device may touch. Never a bare segment: the region
/// carries what the wire needs.
///
/// @param region owner of the memory
/// @param offset first byte within the region
/// @param bytes length of the range
public record Registration(Region region, long offset, long bytes) {
  /// Checks that the range lies inside the region.
  public Registration {
    if (offset < 0 || bytes < 0 || offset > region.bytes() - bytes) {
      throw new IllegalArgumentException(
          "registration does not fit its region: region=%s, regionBytes=%d, offset=%d, bytes=%d"
              .formatted(region.name(), region.bytes(), offset, bytes));
    }
  }

  /// Returns the part that starts `from` bytes into this range and has `length` bytes.
  public Registration slice(long from, long length) {
    if (from < 0 || length < 0 || from > bytes - length) {
      throw new IllegalArgumentException(
          "slice does not fit its registration: bytes=%d, from=%d, length=%d"
              .formatted(bytes, from, length));
    }
    return new Registration(region, offset + from, length);
  }

  /// Returns the range as host memory, borrowed until the region closes.
  ///
  /// @throws IllegalStateException if the region is closed or not addressable by the host
  public MemorySegment segment() {
    return region.segment().asSlice(offset, bytes);
  }
}
