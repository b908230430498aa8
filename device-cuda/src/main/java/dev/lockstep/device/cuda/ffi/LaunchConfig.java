package dev.lockstep.device.cuda.ffi;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// `CUlaunchConfig` with the attribute that this module gives, as `cuda.h` has had both since 11.8.
public final class LaunchConfig {
  /// Size of `CUlaunchConfig`: three extents of the grid, three of a block, the bytes of shared
  /// memory, then what the offsets say.
  static final int BYTES = 56;

  static final int SHARED_OFFSET = 24;
  static final int STREAM_OFFSET = 32;
  static final int ATTRIBUTES_OFFSET = 40;
  static final int COUNT_OFFSET = 48;

  /// Size of `CUlaunchAttribute`: its number, and a union.
  static final int ATTRIBUTE_BYTES = 72;

  static final int VALUE_OFFSET = 8;

  private LaunchConfig() {}

  /// Returns how a kernel is launched with a priority other than its stream's.
  ///
  /// @param priority as `cuCtxGetStreamPriorityRange` has them: the least number goes first
  /// @param arena holds the struct, and what it points to
  public static MemorySegment of(
      CudaDriver.Geometry geometry, long stream, int priority, Arena arena) {
    MemorySegment attribute = arena.allocate(ATTRIBUTE_BYTES, Long.BYTES);
    attribute.set(ValueLayout.JAVA_INT, 0, Cu.LAUNCH_PRIORITY);
    attribute.set(ValueLayout.JAVA_INT, VALUE_OFFSET, priority);
    MemorySegment config = arena.allocate(BYTES, Long.BYTES);
    int[] extents = {
      geometry.gridX(), geometry.gridY(), geometry.gridZ(),
      geometry.blockX(), geometry.blockY(), geometry.blockZ(),
    };
    MemorySegment.copy(extents, 0, config, ValueLayout.JAVA_INT, 0, extents.length);
    config.set(ValueLayout.JAVA_INT, SHARED_OFFSET, geometry.sharedBytes());
    config.set(ValueLayout.JAVA_LONG, STREAM_OFFSET, stream);
    config.set(ValueLayout.JAVA_LONG, ATTRIBUTES_OFFSET, attribute.address());
    config.set(ValueLayout.JAVA_INT, COUNT_OFFSET, 1);
    return config;
  }
}
