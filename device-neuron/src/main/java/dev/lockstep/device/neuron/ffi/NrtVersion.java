package dev.lockstep.device.neuron.ffi;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemorySegment;

/// A version of the Neuron runtime.
///
/// @param major of the functions that are bound
/// @param minor one per release
/// @param patch of a release
public record NrtVersion(long major, long minor, long patch) {
  /// Bytes of a tensor that runtimes before 2.30 cannot count: they would allocate less without a
  /// word (AWS Neuron release notes, known issues of the runtime until 2.29).
  public static final long LARGE = 1L << 32;

  private static final long MAJOR = 2;
  private static final long TAKES_LARGE = 30;

  /// Reads `nrt_version_t`.
  public static NrtVersion read(MemorySegment version) {
    return new NrtVersion(
        version.get(JAVA_LONG, 0), version.get(JAVA_LONG, 8), version.get(JAVA_LONG, 16));
  }

  /// Returns whether the functions that are bound are this version's: those of NRT 2.
  public boolean isBound() {
    return major == MAJOR;
  }

  /// Returns whether tensors may have [#LARGE] bytes and more.
  public boolean takesLarge() {
    return minor >= TAKES_LARGE;
  }

  @Override
  public String toString() {
    return "%s.%s.%s".formatted(major, minor, patch);
  }
}
