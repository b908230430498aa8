package dev.lockstep.device;

import dev.lockstep.memory.MemoryPool;
import java.nio.file.Path;
import java.util.Optional;

/// How a device is opened.
///
/// @param memory pool that every allocation is charged to; borrowed until the device closes
/// @param threads compute threads, the calling one included; at least 1
/// @param vectorBits 0 for the best that the processor has, 64 for the scalar path, or 128, 256,
///   512; the bits of results do not depend on it
/// @param ranks the ranks that run programs together with the device; empty for a device whose
///   collectives the host runs
/// @param alone whether no peer will read the device's memory in place: nothing of it need be
///   mappable then, and Linux gives private memory huge pages where it gives shared memory none
/// @param directory where files back the memory that peers map, on a host without memory files; the
///   job's own, as a rule. Without one, such a host has no memory that peers map
public record DeviceOptions(
    MemoryPool memory,
    int threads,
    int vectorBits,
    Optional<DeviceRanks> ranks,
    boolean alone,
    Optional<Path> directory) {
  /// Checks the numbers.
  public DeviceOptions {
    if (threads < 1) {
      throw new IllegalArgumentException("threads must be at least 1: threads=" + threads);
    }
    if (vectorBits != 0
        && vectorBits != 64
        && vectorBits != 128
        && vectorBits != 256
        && vectorBits != 512) {
      throw new IllegalArgumentException(
          "vectorBits must be 0, 64, 128, 256 or 512: vectorBits=" + vectorBits);
    }
  }

  /// Makes the options of a device whose collectives the host runs.
  public DeviceOptions(MemoryPool memory, int threads, int vectorBits) {
    this(memory, threads, vectorBits, Optional.empty(), false, Optional.empty());
  }

  /// Returns these options for a device among others.
  public DeviceOptions among(Optional<DeviceRanks> others) {
    return new DeviceOptions(memory, threads, vectorBits, others, alone, directory);
  }

  /// Returns these options for a device whose memory no peer reads, or one may.
  public DeviceOptions alone(boolean isAlone) {
    return new DeviceOptions(memory, threads, vectorBits, ranks, isAlone, directory);
  }

  /// Returns these options for a device of a job with this directory.
  public DeviceOptions in(Path jobDirectory) {
    return new DeviceOptions(memory, threads, vectorBits, ranks, alone, Optional.of(jobDirectory));
  }
}
