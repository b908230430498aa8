package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceProvider;
import org.junit.jupiter.api.Tag;

/// Powers on a GPU.
@Tag("gpu")
class GpuPowersTest extends CudaPowersTest {
  @Override
  DeviceProvider provider() {
    return Gpu.exact();
  }
}
