package dev.lockstep.device.neuron;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.failure.Availability;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/// The device on the stand-in, as jobs find it. Built when it is opened: the service loader makes
/// providers that nobody asks for.
public final class StandInProvider implements DeviceProvider {
  static final String NAME = "neuron-stand-in";

  /// Every module that was compiled for it in this process, in hexadecimal digits.
  static final Set<String> COMPILED = ConcurrentHashMap.newKeySet();

  /// Makes the provider; for the service loader.
  public StandInProvider() {}

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public Availability probe() {
    return new Availability.Available(1, "stand-in");
  }

  @Override
  public Device open(int ordinal, DeviceOptions options) {
    return StandIn.build(COMPILED).provider().open(ordinal, options);
  }
}
