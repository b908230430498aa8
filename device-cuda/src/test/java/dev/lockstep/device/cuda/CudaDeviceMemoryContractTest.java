package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceMemoryContractTest;
import dev.lockstep.device.DeviceProvider;

/// What every device must promise about memory, on the stand-ins for the driver and cuBLASLt.
class CudaDeviceMemoryContractTest extends DeviceMemoryContractTest {
  @Override
  protected DeviceProvider provider() {
    return StandInDevices.withCublasLt();
  }
}
