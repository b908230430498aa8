package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.Numerics;
import dev.lockstep.memory.MemoryPool;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// What GPUs must have in common to be one kind.
@Timeout(60)
class CudaNumericsTest {
  private static Numerics of(DeviceProvider provider) {
    try (MemoryPool pool = MemoryPool.root("numerics", 1 << 20);
        Device device = provider.open(0, new DeviceOptions(pool, 1, 0))) {
      return device.numerics();
    }
  }

  @Test
  void kernelsOfAnotherCompilerAreAnotherKind() {
    assertThat(of(StandInDevices.exact()))
        .isEqualTo(new Numerics("cuda with exact products, kernels by NVRTC 13.0", true));
    assertThat(of(StandInDevices.withCublasLt()))
        .satisfies(numerics -> assertThat(numerics.isExact()).isFalse())
        .extracting(Numerics::kind)
        .asString()
        .startsWith("cuda with cuBLASLt ")
        .endsWith(" on Stand-in GPU 0, kernels by NVRTC 13.0");
  }
}
