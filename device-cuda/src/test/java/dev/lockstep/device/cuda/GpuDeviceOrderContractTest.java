package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceOrderContractTest;
import dev.lockstep.device.DeviceProvider;
import org.junit.jupiter.api.Tag;

/// The contract of devices on a GPU.
@Tag("gpu")
class GpuDeviceOrderContractTest extends DeviceOrderContractTest {
  @Override
  protected DeviceProvider provider() {
    return Gpu.exact();
  }
}
