package dev.lockstep.device.neuron;

import dev.lockstep.device.DeviceMemoryContractTest;
import dev.lockstep.device.DeviceProvider;

/// What every device must keep, on the stand-in for the Neuron runtime.
class NeuronDeviceMemoryContractTest extends DeviceMemoryContractTest {
  private final StandIn standIn = StandIn.build();

  @Override
  protected DeviceProvider provider() {
    return standIn.provider();
  }
}
