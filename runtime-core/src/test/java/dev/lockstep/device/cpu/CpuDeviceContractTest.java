package dev.lockstep.device.cpu;

import dev.lockstep.device.DeviceContractTest;
import dev.lockstep.device.DeviceProvider;
import java.util.List;

/// What every device must compute, on the CPU device.
class CpuDeviceContractTest extends DeviceContractTest {
  @Override
  protected DeviceProvider provider() {
    return new CpuDeviceProvider();
  }

  @Override
  protected List<Variant> variants() {
    return CpuVariants.all();
  }
}
