package dev.lockstep.device.neuron;

import dev.lockstep.device.DeviceOrderContractTest;
import dev.lockstep.device.DeviceProvider;

/// What every device must keep, on the stand-in for the Neuron runtime.
class NeuronDeviceOrderContractTest extends DeviceOrderContractTest {
  private final StandIn standIn = StandIn.build();

  @Override
  protected DeviceProvider provider() {
    return standIn.provider();
  }
}
