package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceContractTest;
import dev.lockstep.device.DeviceProvider;
import org.junit.jupiter.api.Tag;

/// The contract of devices on a GPU.
@Tag("gpu")
class GpuDeviceContractTest extends DeviceContractTest {
  @Override
  protected DeviceProvider provider() {
    return Gpu.provider();
  }
}
