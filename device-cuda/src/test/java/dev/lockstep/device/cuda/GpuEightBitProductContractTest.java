package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.EightBitProductContractTest;
import org.junit.jupiter.api.Tag;

/// Products of 8-bit floats on a GPU.
@Tag("gpu")
class GpuEightBitProductContractTest extends EightBitProductContractTest {
  @Override
  protected DeviceProvider provider() {
    return Gpu.provider();
  }

  /// Hopper's tensor cores add products of 8-bit floats in about 14 bits, and promote them to
  /// float32 after every few.
  @Override
  protected double tolerance() {
    return 0x1p-10;
  }
}
