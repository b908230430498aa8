package dev.lockstep.device.cpu;

import dev.lockstep.device.DeviceOrderContractTest;
import dev.lockstep.device.DeviceProvider;
import java.util.List;

/// The order of sums that every device must keep, on the CPU device.
class CpuDeviceOrderContractTest extends DeviceOrderContractTest {
  @Override
  protected DeviceProvider provider() {
    return new CpuDeviceProvider();
  }

  @Override
  protected List<Variant> variants() {
    return CpuVariants.all();
  }
}
