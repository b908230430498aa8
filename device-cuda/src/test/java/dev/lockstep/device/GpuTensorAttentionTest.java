package dev.lockstep.device;

import dev.lockstep.device.cuda.Gpu;
import org.junit.jupiter.api.Tag;

/// Attention by a GPU's tensor cores.
@Tag("gpu")
class GpuTensorAttentionTest extends TensorAttentionTest {
  @Override
  DeviceProvider provider() {
    return Gpu.provider();
  }
}
