package dev.lockstep.device.neuron;

import static org.assertj.core.api.Assertions.fail;
import static org.junit.jupiter.api.Assumptions.abort;

import dev.lockstep.device.DeviceProvider;
import dev.lockstep.failure.Availability;

/// The first core of a Trainium chip, where there is one.
final class Trainium {
  private Trainium() {}

  /// The device as users get it.
  static DeviceProvider provider() {
    DeviceProvider provider = new NeuronDeviceProvider();
    if (provider.probe() instanceof Availability.Unavailable(String reason)) {
      if (Boolean.getBoolean("lockstep.neuron")) {
        fail("there is no Trainium chip: " + reason);
      }
      abort("judge neuron: " + reason);
    }
    return provider;
  }
}
