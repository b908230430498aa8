package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceContractTest;
import dev.lockstep.device.DeviceProvider;
import org.junit.jupiter.api.Tag;

/// What every device must compute, with products by the stand-in for cuBLASLt.
@Tag("long")
class CublasLtContractTest extends DeviceContractTest {
  @Override
  protected DeviceProvider provider() {
    return StandInDevices.withCublasLt();
  }
}
