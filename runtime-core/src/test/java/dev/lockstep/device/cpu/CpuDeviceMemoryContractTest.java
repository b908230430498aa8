package dev.lockstep.device.cpu;

import dev.lockstep.device.DeviceMemoryContractTest;
import dev.lockstep.device.DeviceProvider;
import java.util.List;

/// What every device must keep of memory and bindings, on the CPU device.
class CpuDeviceMemoryContractTest extends DeviceMemoryContractTest {
  @Override
  protected DeviceProvider provider() {
    return new CpuDeviceProvider();
  }

  @Override
  protected List<Variant> variants() {
    return CpuVariants.all();
  }
}
