package dev.lockstep.device.neuron.ffi;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.StructLayout;
import java.util.List;

/// Structures of `nrt/nrt.h` and `nrt/nrt_experimental.h` (runtime 2.34).
public final class NrtLayouts {
  /// `nrt_version_t`.
  public static final StructLayout VERSION =
      MemoryLayout.structLayout(
              JAVA_LONG.withName("rt_major"),
              JAVA_LONG.withName("rt_minor"),
              JAVA_LONG.withName("rt_patch"),
              JAVA_LONG.withName("rt_maintenance"),
              bytes(128, "rt_detail"),
              bytes(64, "git_hash"))
          .withName("nrt_version_t");

  /// `nrt_instance_info_t`.
  public static final StructLayout INSTANCE_INFO =
      MemoryLayout.structLayout(
              JAVA_INT.withName("family"),
              JAVA_INT.withName("size"),
              bytes(16, "arch_name"),
              bytes(8, "device_revision"))
          .withName("nrt_instance_info_t");

  /// `nrt_tensor_info_t`.
  public static final StructLayout TENSOR_INFO =
      MemoryLayout.structLayout(
              bytes(256, "name"),
              JAVA_INT.withName("usage"),
              MemoryLayout.paddingLayout(4),
              JAVA_LONG.withName("size"),
              JAVA_INT.withName("dtype"),
              MemoryLayout.paddingLayout(4),
              JAVA_LONG.withName("shape"),
              JAVA_INT.withName("ndim"),
              MemoryLayout.paddingLayout(4))
          .withName("nrt_tensor_info_t");

  /// Bytes before the first element of `nrt_tensor_info_array_t`, its count.
  public static final long TENSOR_INFO_ARRAY_HEADER = JAVA_LONG.byteSize();

  /// `usage` of an input.
  public static final int USAGE_INPUT = 0;

  private NrtLayouts() {}

  private static MemoryLayout bytes(long count, String name) {
    return MemoryLayout.sequenceLayout(count, JAVA_BYTE).withName(name);
  }

  /// Returns every structure.
  public static List<StructLayout> all() {
    return List.of(VERSION, INSTANCE_INFO, TENSOR_INFO);
  }

  /// Returns where a member starts.
  public static long offset(StructLayout struct, String member) {
    return struct.byteOffset(PathElement.groupElement(member));
  }
}
