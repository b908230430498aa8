package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.EightBitProductContractTest;

/// Products of 8-bit floats by the stand-in for cuBLASLt.
class CublasLtEightBitProductContractTest extends EightBitProductContractTest {
  @Override
  protected DeviceProvider provider() {
    return StandInDevices.withCublasLt();
  }
}
