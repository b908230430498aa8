package dev.lockstep.device;

import dev.lockstep.device.cuda.Gpu;
import org.junit.jupiter.api.Tag;

/// The CPU device's bits on a GPU.
@Tag("gpu")
class GpuBitsTest extends CudaBitsTest {
  @Override
  DeviceProvider provider() {
    return Gpu.exact();
  }
}
