package dev.lockstep.failure;

import org.jspecify.annotations.Nullable;

/// A device is lost to this process: its memory is gone, and every later call on it fails like
/// this. Other devices and the JVM go on; the device works again in a new process, if its hardware
/// does.
public final class DeviceLostException extends DeviceException {
  private static final long serialVersionUID = 1L;

  /// Makes the failure; the arguments come back from the accessors.
  public DeviceLostException(
      String device, String function, long status, String message, @Nullable Throwable cause) {
    super(device, function, status, message, cause);
  }
}
