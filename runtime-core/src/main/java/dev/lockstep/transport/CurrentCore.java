package dev.lockstep.transport;

import dev.lockstep.memory.ffi.LibC;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.BitSet;

/// The core that the calling thread runs on, and those that it may run on. Ranks of one host number
/// cores alike.
public final class CurrentCore {
  /// The number of a core where the system does not tell it.
  public static final int UNKNOWN = -1;

  /// A bit for each of as many cores as any Linux is built for.
  private static final int MASK_BYTES = 1 << 10;

  private CurrentCore() {}

  /// Returns the core's number, or [#UNKNOWN]; takes some nanoseconds, allocates nothing. The
  /// scheduler may move the thread at any time.
  public static int number() {
    return LibC.schedGetcpu();
  }

  /// Returns the cores that the calling thread may run on; none where the system does not tell.
  public static BitSet allowed() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment mask = arena.allocate(MASK_BYTES, Long.BYTES);
      return LibC.schedGetaffinity(mask) == 0
          ? BitSet.valueOf(mask.toArray(ValueLayout.JAVA_BYTE))
          : new BitSet();
    }
  }

  /// Keeps the calling thread on some cores from now on, and the threads that it starts.
  ///
  /// @param cores one at least
  /// @return whether the system does so
  public static boolean keepOn(BitSet cores) {
    try (Arena arena = Arena.ofConfined()) {
      byte[] mask = Arrays.copyOf(cores.toByteArray(), MASK_BYTES);
      return LibC.schedSetaffinity(arena.allocateFrom(ValueLayout.JAVA_BYTE, mask)) == 0;
    }
  }
}
