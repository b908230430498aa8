package dev.lockstep.memory;

import dev.lockstep.memory.ffi.PlainSegments;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Memory mapped from files, for loops that read and write it beside other memory.
///
/// To the JDK a segment of mapped memory is of another class than one of allocated memory. A
/// compiled loop that has met both asks at every access which it has, and is not unrolled: a join
/// of 16 KiB that lies in the first-level cache takes 5 times as long, for the rest of the process.
public final class MappedMemory {
  private MappedMemory() {}

  /// Returns mapped memory as a segment of the class that allocated memory has. It has the same
  /// bounds and is read only if `mapped` is.
  ///
  /// @param mapped native memory; it stays valid
  /// @param arena for as long as which the result is valid: the one that unmaps the memory, or the
  ///   global one where the caller lets nobody use memory that is unmapped
  /// @return `mapped` itself where native access is denied: loops are slower then
  public static MemorySegment plain(MemorySegment mapped, Arena arena) {
    return PlainSegments.of(mapped, arena);
  }
}
