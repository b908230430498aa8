package dev.lockstep.device.neuron;

import dev.lockstep.device.DeviceContractTest;
import dev.lockstep.device.DeviceProvider;

/// What every device must keep, on the stand-in for the Neuron runtime.
class NeuronDeviceContractTest extends DeviceContractTest {
  private final StandIn standIn = StandIn.build();

  @Override
  protected DeviceProvider provider() {
    return standIn.provider();
  }
}
