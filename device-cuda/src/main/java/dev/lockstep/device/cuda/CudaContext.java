package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.CudaDriver;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.failure.DeviceLostException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/// The primary context of one GPU, and what becomes of the driver's statuses. Thread-safe.
///
/// An error after which the driver has lost the context ends this device: every later call throws
/// the same [DeviceLostException].
final class CudaContext implements AutoCloseable {
  private static final int NAME_BYTES = 256;

  private final CudaDriver driver;
  private final int ordinal;
  private final int device;
  private final long context;
  private final String model;
  private final int capability;
  private final int multiprocessors;
  private volatile @Nullable DeviceLostException lost;
  private boolean closed;

  private CudaContext(CudaDriver driver, int ordinal) {
    this.driver = driver;
    this.ordinal = ordinal;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
      check(driver.init(0), "cuInit", "");
      check(driver.deviceGet(word.address(), ordinal), "cuDeviceGet", "");
      device = word.get(ValueLayout.JAVA_INT, 0);
      MemorySegment text = arena.allocate(NAME_BYTES);
      check(driver.deviceGetName(text.address(), NAME_BYTES, device), "cuDeviceGetName", "");
      model = text.getString(0, StandardCharsets.UTF_8);
      capability =
          10 * attribute(Cu.ATTRIBUTE_CAPABILITY_MAJOR) + attribute(Cu.ATTRIBUTE_CAPABILITY_MINOR);
      multiprocessors = attribute(Cu.ATTRIBUTE_MULTIPROCESSORS);
      check(driver.devicePrimaryCtxRetain(word.address(), device), "cuDevicePrimaryCtxRetain", "");
      context = word.get(ValueLayout.JAVA_LONG, 0);
    }
  }

  /// Initialises the driver and retains the primary context of a GPU.
  ///
  /// @throws DeviceException if the driver refuses
  static CudaContext open(CudaDriver driver, int ordinal) {
    return new CudaContext(driver, ordinal);
  }

  private int attribute(int attribute) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment word = arena.allocate(ValueLayout.JAVA_INT);
      check(
          driver.deviceGetAttribute(word.address(), attribute, device),
          "cuDeviceGetAttribute",
          "attribute=" + attribute);
      return word.get(ValueLayout.JAVA_INT, 0);
    }
  }

  /// Returns the device's name, `cuda:0`.
  String name() {
    return "cuda:" + ordinal;
  }

  /// Returns which GPU of its host this is: where it sits on the bus.
  String place() {
    return "%04x:%02x:%02x"
        .formatted(
            attribute(Cu.ATTRIBUTE_PCI_DOMAIN),
            attribute(Cu.ATTRIBUTE_PCI_BUS),
            attribute(Cu.ATTRIBUTE_PCI_DEVICE));
  }

  /// Returns the GPU's name.
  String model() {
    return model;
  }

  /// Returns what NVRTC compiles for: the GPU's own architecture, with the features that are its
  /// alone from Hopper on.
  String architecture() {
    boolean ownFeatures = capability == 90 || (capability >= 100 && capability < 120);
    return "sm_" + capability + (ownFeatures ? "a" : "");
  }

  int multiprocessors() {
    return multiprocessors;
  }

  /// Returns the priority of what goes before all else that the GPU has to do; the context is
  /// current.
  int greatestPriority() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment words = arena.allocate(ValueLayout.JAVA_INT, 2);
      check(
          driver.ctxGetStreamPriorityRange(words.address(), words.address() + Integer.BYTES),
          "cuCtxGetStreamPriorityRange",
          "");
      return words.getAtIndex(ValueLayout.JAVA_INT, 1);
    }
  }

  CudaDriver driver() {
    return driver;
  }

  /// Returns the driver's number of the GPU.
  int device() {
    return device;
  }

  /// Makes the context current on this thread; the calls that follow on it are on this GPU.
  ///
  /// @throws DeviceLostException if the context is lost
  CudaDriver enter() {
    DeviceLostException before = lost;
    if (before != null) {
      throw lost(before.function(), before.status(), before);
    }
    check(driver.ctxSetCurrent(context), "cuCtxSetCurrent", "");
    return driver;
  }

  /// Whether the context is lost.
  boolean isLost() {
    return lost != null;
  }

  /// Turns a status that is not success into an exception.
  ///
  /// @param function what returned it
  /// @param what `key=value` pairs that say what was done; may be empty
  void check(int status, String function, String what) {
    if (status != Cu.SUCCESS) {
      throw failure(status, function, what);
    }
  }

  /// Makes the exception of a status.
  DeviceException failure(int status, String function, String what) {
    if (Cu.isSticky(status)) {
      DeviceLostException failure = lost(function, status, null);
      lost = failure;
      return failure;
    }
    return new DeviceException(
        name(),
        function,
        status,
        "%s failed: device=%s, status=%d %s%s (%s)"
            .formatted(
                function,
                name(),
                status,
                driver.errorName(status),
                what.isEmpty() ? "" : ", " + what,
                driver.errorString(status)),
        null);
  }

  private DeviceLostException lost(
      String function, long status, @Nullable DeviceLostException cause) {
    return new DeviceLostException(
        name(),
        function,
        status,
        "device is lost to this process: device=%s, function=%s, status=%d %s (start the rank again; if it comes back, compute-sanitizer finds a faulty kernel, nvidia-smi a faulty GPU)"
            .formatted(name(), function, status, driver.errorName((int) status)),
        cause);
  }

  /// Releases the primary context; idempotent.
  @Override
  public synchronized void close() {
    if (!closed) {
      closed = true;
      int status = driver.devicePrimaryCtxRelease(device);
      if (!isLost()) {
        check(status, "cuDevicePrimaryCtxRelease", "");
      }
    }
  }
}
