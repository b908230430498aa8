package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceMemoryContractTest;
import dev.lockstep.device.DeviceProvider;
import org.junit.jupiter.api.Tag;

/// The contract of devices on a GPU.
@Tag("gpu")
class GpuDeviceMemoryContractTest extends DeviceMemoryContractTest {
  @Override
  protected DeviceProvider provider() {
    return Gpu.provider();
  }
}
