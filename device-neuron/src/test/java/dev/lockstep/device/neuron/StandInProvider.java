package dev.lockstep.device.neuron;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.failure.Availability;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/// The device on the stand-in, as jobs find it. Built when it is opened: the service loader makes
/// providers that nobody asks for.
public class StandInProvider implements DeviceProvider {
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
  public boolean keepsCollectives() {
    return !name().equals(ByHost.NAME);
  }

  /// The process's provider, on a machine of its own.
  NeuronDeviceProvider provider() {
    return StandIn.build(COMPILED).provider();
  }

  @Override
  public Availability probe() {
    return new Availability.Available(StandIn.CORES, "stand-in");
  }

  @Override
  public Device open(int ordinal, DeviceOptions options) {
    return provider().open(ordinal, options);
  }

  /// The same, in a process that leaves collectives to the host.
  public static final class ByHost extends StandInProvider {
    static final String NAME = "neuron-stand-in-by-host";

    @Override
    public String name() {
      return NAME;
    }

    @Override
    NeuronDeviceProvider provider() {
      return StandIn.build(COMPILED).provider(Map.of(NeuronHost.COLLECTIVES, "host"));
    }
  }
}
