package dev.lockstep.device.cuda.ffi;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.regex.Pattern;

/// Constants and structs of `nccl.h`, as they have been since 2.14.
public final class NcclConfig {
  /// `ncclSuccess`.
  public static final int SUCCESS = 0;

  /// `ncclUnhandledCudaError`.
  public static final int UNHANDLED_CUDA_ERROR = 1;

  /// `ncclSystemError`.
  public static final int SYSTEM_ERROR = 2;

  /// `ncclInvalidUsage`.
  public static final int INVALID_USAGE = 5;

  /// `ncclRemoteError`.
  public static final int REMOTE_ERROR = 6;

  /// `ncclInProgress`.
  public static final int IN_PROGRESS = 7;

  /// `ncclUint8`.
  public static final int UINT8 = 1;

  /// `ncclFloat32`.
  public static final int FLOAT32 = 7;

  /// `ncclSum`.
  public static final int SUM = 0;

  /// `NCCL_UNIQUE_ID_BYTES`.
  public static final int ID_BYTES = 128;

  /// What `magic` holds.
  static final int MAGIC = 0xCAFEBEEF;

  /// The version whose fields are given: the library takes its defaults for newer ones.
  static final int VERSION = 21400;

  static final int MAGIC_OFFSET = 8;
  static final int VERSION_OFFSET = 12;
  static final int BLOCKING_OFFSET = 16;
  private static final int BYTES = 24;

  // As `strtoll` of base 0 reads it: what follows the number does not count.
  private static final Pattern ONE =
      Pattern.compile("\\s*\\+?(?:0[xX]0*1(?![0-9a-fA-F])|0*1(?!\\d)).*", Pattern.DOTALL);

  private NcclConfig() {}

  /// Whether NCCL reads 1 in the value of a variable that is a number.
  public static boolean isOne(String value) {
    return ONE.matcher(value).matches();
  }

  /// Returns an `ncclConfig_t` of a communicator whose functions do not wait.
  public static MemorySegment nonBlocking(Arena arena) {
    MemorySegment config = arena.allocate(BYTES, Long.BYTES);
    config.set(ValueLayout.JAVA_LONG, 0, BYTES);
    config.set(ValueLayout.JAVA_INT, MAGIC_OFFSET, MAGIC);
    config.set(ValueLayout.JAVA_INT, VERSION_OFFSET, VERSION);
    config.set(ValueLayout.JAVA_INT, BLOCKING_OFFSET, 0);
    config.set(ValueLayout.JAVA_INT, BLOCKING_OFFSET + Integer.BYTES, Integer.MIN_VALUE);
    return config;
  }
}
