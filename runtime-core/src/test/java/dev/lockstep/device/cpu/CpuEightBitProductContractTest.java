package dev.lockstep.device.cpu;

import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.EightBitProductContractTest;
import java.util.List;

/// Products of 8-bit floats on the CPU device, with the same bits in every variant.
class CpuEightBitProductContractTest extends EightBitProductContractTest {
  @Override
  protected DeviceProvider provider() {
    return new CpuDeviceProvider();
  }

  @Override
  protected List<Variant> variants() {
    return CpuVariants.all();
  }
}
