package dev.lockstep.failure;

import org.jspecify.annotations.Nullable;

/// A device or its driver refused or failed. The device is still usable, unless this is a
/// [DeviceLostException].
public class DeviceException extends LockstepException {
  private static final long serialVersionUID = 1L;

  private final String device;
  private final String function;
  private final long status;

  /// Makes the failure; the arguments come back from the accessors.
  public DeviceException(
      String device, String function, long status, String message, @Nullable Throwable cause) {
    super(message, cause);
    this.device = device;
    this.function = function;
    this.status = status;
  }

  /// Returns the device, for example `cpu:0`.
  public String device() {
    return device;
  }

  /// Returns the native or device function.
  public String function() {
    return function;
  }

  /// Returns its status.
  public long status() {
    return status;
  }
}
