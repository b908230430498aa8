package dev.lockstep.memory;

/// What a wire needs to know of a region's memory, beside its address in this process.
public sealed interface Backing {
  /// Private memory of this process.
  record Private() implements Backing {}

  /// Memory that another process on the host maps by opening `path`: `/proc/PID/fd/N` of a memfd,
  /// or a file on tmpfs.
  ///
  /// @param path what the peer opens
  /// @param fileOffset where the region starts in it
  record SharedFile(String path, long fileOffset) implements Backing {}

  /// Memory of an accelerator.
  ///
  /// @param device for example `cuda:0`
  /// @param pointer device address
  record DeviceMemory(String device, long pointer) implements Backing {}
}
