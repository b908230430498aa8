package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.Nccl;
import dev.lockstep.device.cuda.ffi.NcclConfig;
import dev.lockstep.failure.DeviceException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HexFormat;

/// NCCL as a device of this process uses it, and what becomes of its statuses. Thread-safe.
final class NcclLibrary {
  /// From which version on several ranks may share a GPU, where the user says so.
  private static final int SHARES_GPUS = 23000;

  private static final String SHARED_GPUS = "NCCL_MULTI_RANK_GPU_ENABLE";

  private final Nccl nccl;
  private final String device;
  private final int version;

  /// Asks for the version.
  ///
  /// @param device name for errors
  NcclLibrary(Nccl nccl, String device) {
    this.nccl = nccl;
    this.device = device;
    this.version = version(nccl);
  }

  private static int version(Nccl nccl) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment word = arena.allocate(ValueLayout.JAVA_INT);
      return nccl.getVersion(word.address()) == NcclConfig.SUCCESS
          ? word.get(ValueLayout.JAVA_INT, 0)
          : 0;
    }
  }

  Nccl functions() {
    return nccl;
  }

  /// Returns `NCCL 2.30.7`.
  String words() {
    return words(version);
  }

  /// Returns the library's name and version.
  static String words(Nccl nccl) {
    return words(version(nccl));
  }

  private static String words(int version) {
    return "NCCL %s.%s.%s".formatted(version / 10000, version % 10000 / 100, version % 100);
  }

  /// Whether several ranks may share a GPU.
  boolean sharesGpus() {
    return version >= SHARES_GPUS && "1".equals(System.getenv(SHARED_GPUS));
  }

  /// Returns a new unique id, as hexadecimal digits.
  String newId() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment id = arena.allocate(NcclConfig.ID_BYTES);
      int status = nccl.getUniqueId(id.address());
      if (status != NcclConfig.SUCCESS) {
        throw failure(status, "ncclGetUniqueId", 0, "");
      }
      return HexFormat.of().formatHex(id.toArray(ValueLayout.JAVA_BYTE));
    }
  }

  /// Makes the exception of a status, with what the library says of it.
  ///
  /// @param communicator whose last error is shown; 0 for none
  /// @param what `key=value` pairs that say what was done; may be empty
  DeviceException failure(int status, String function, long communicator, String what) {
    String last = nccl.lastError(communicator).strip();
    return new DeviceException(
        device,
        function,
        status,
        "%s failed: device=%s, status=%d %s%s%s (%s)"
            .formatted(
                function,
                device,
                status,
                nccl.errorString(status),
                what.isEmpty() ? "" : ", " + what,
                last.isEmpty() ? "" : ", nccl=" + last,
                remedy(status)),
        null);
  }

  private static String remedy(int status) {
    return switch (status) {
      case NcclConfig.UNHANDLED_CUDA_ERROR ->
          "another rank may have ended; NCCL_DEBUG=INFO shows NCCL's own log, nvidia-smi a faulty"
              + " GPU";
      case NcclConfig.SYSTEM_ERROR ->
          "the network or /dev/shm refused: NCCL_DEBUG=INFO shows NCCL's own log,"
              + " NCCL_SOCKET_IFNAME names the interface";
      case NcclConfig.INVALID_USAGE ->
          "give each rank a GPU of its own, or LOCKSTEP_LIBNCCL=none passes collectives through"
              + " host memory";
      case NcclConfig.REMOTE_ERROR -> "another rank has failed or its network has: see its log";
      default -> "NCCL_DEBUG=INFO shows NCCL's own log";
    };
  }
}
