package dev.lockstep.memory.ffi;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Native memory as segments of one class.
@SuppressWarnings("restricted") // the only class of this module that makes segments of segments
public final class PlainSegments {
  private PlainSegments() {}

  /// Returns native memory as a segment of the class that allocated memory has, as long, and read
  /// only if it is.
  ///
  /// @param arena for as long as which it is valid
  /// @return `segment` itself where native access is denied
  public static MemorySegment of(MemorySegment segment, Arena arena) {
    try {
      return segment.reinterpret(segment.byteSize(), arena, null);
    } catch (IllegalCallerException denied) {
      return segment;
    }
  }
}
