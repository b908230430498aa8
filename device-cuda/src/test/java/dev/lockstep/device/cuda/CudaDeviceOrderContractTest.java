package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceOrderContractTest;
import dev.lockstep.device.DeviceProvider;

/// The order of sums that every device must keep, on the stand-in for the driver. It holds with
/// products by the kernels of this module; cuBLASLt chooses its own.
class CudaDeviceOrderContractTest extends DeviceOrderContractTest {
  @Override
  protected DeviceProvider provider() {
    return StandInDevices.exact();
  }
}
