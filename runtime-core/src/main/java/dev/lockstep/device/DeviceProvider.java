package dev.lockstep.device;

import dev.lockstep.failure.Availability;
import dev.lockstep.provider.Providers;
import java.util.List;

/// A kind of device, found by [java.util.ServiceLoader]. Probing and opening change no state of the
/// provider.
public interface DeviceProvider {
  /// Returns the installed kinds, those first that the class loader of Lockstep knows.
  static List<DeviceProvider> installed() {
    return Providers.find(DeviceProvider.class, DeviceProvider::name);
  }

  /// Returns the kind as users write it after `--device`: `cpu`, `cuda`, `neuron`.
  String name();

  /// Returns how many devices there are, or why none. Never throws for an absent driver.
  Availability probe();

  /// Returns whether devices keep collectives inside their programs if they are opened among other
  /// ranks ([DeviceOptions#ranks]).
  default boolean keepsCollectives() {
    return false;
  }

  /// Opens a device; the caller closes it.
  ///
  /// @param ordinal which one, from 0
  /// @throws dev.lockstep.failure.DeviceException if it cannot be opened
  Device open(int ordinal, DeviceOptions options);
}
