package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.EightBitProductContractTest;
import org.junit.jupiter.api.Tag;

/// Products of 8-bit floats by the kernels of this module.
@Tag("long")
class CudaEightBitProductContractTest extends EightBitProductContractTest {
  @Override
  protected DeviceProvider provider() {
    return StandInDevices.exact();
  }
}
