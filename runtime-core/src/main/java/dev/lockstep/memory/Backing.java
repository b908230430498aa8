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

  /// Memory of an accelerator. Network cards reach it by its address where driver and library know
  /// the accelerator, or by a dma-buf, a file descriptor that its driver exports.
  ///
  /// @param device for example `cuda:0`
  /// @param pointer device address
  /// @param dmabuf file descriptor, borrowed until the region is closed; -1 if there is none
  /// @param dmabufOffset where `pointer` lies in the dma-buf, in bytes
  record DeviceMemory(String device, long pointer, int dmabuf, long dmabufOffset)
      implements Backing {
    /// Names memory that has no dma-buf.
    public DeviceMemory(String device, long pointer) {
      this(device, pointer, -1, 0);
    }

    /// Returns whether there is a dma-buf.
    public boolean hasDmabuf() {
      return dmabuf >= 0;
    }
  }
}
