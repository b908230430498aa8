package dev.lockstep.device.neuron;

import dev.lockstep.device.DeviceMemoryContractTest;
import dev.lockstep.device.DeviceProvider;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;

/// The contract of devices on a Trainium chip; a test may compile many programs.
@Tag("neuron")
@Timeout(value = 2, unit = TimeUnit.HOURS)
class TrainiumDeviceMemoryContractTest extends DeviceMemoryContractTest {
  @Override
  protected DeviceProvider provider() {
    return Trainium.provider();
  }
}
