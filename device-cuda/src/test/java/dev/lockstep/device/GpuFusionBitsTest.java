package dev.lockstep.device;

import dev.lockstep.device.cuda.Gpu;
import org.junit.jupiter.api.Tag;

/// Fused chains on a GPU.
@Tag("gpu")
class GpuFusionBitsTest extends CudaFusionBitsTest {
  @Override
  DeviceProvider provider() {
    return Gpu.exact();
  }
}
