package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceContractTest;
import dev.lockstep.device.DeviceProvider;

/// What every device must compute, by the kernels of this module on the stand-in for the driver.
class CudaDeviceContractTest extends DeviceContractTest {
  @Override
  protected DeviceProvider provider() {
    return StandInDevices.exact();
  }

  /// Of the kernels of a graph's chains the compiler takes its time; [CublasLtContractTest] runs
  /// all.
  @Override
  protected int randomGraphs() {
    return 4;
  }
}
